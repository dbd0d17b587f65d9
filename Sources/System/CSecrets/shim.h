// What holding secrets needs of C: AES-256-GCM, SHA-256 and random bytes from OpenSSL's libcrypto, and Linux's prctl.
// https://docs.openssl.org/3.0/man3/EVP_EncryptInit/ , https://man7.org/linux/man-pages/man2/pr_set_dumpable.2const.html
#pragma once

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

enum { CSECRETS_KEY_BYTES = 32, CSECRETS_NONCE_BYTES = 12, CSECRETS_TAG_BYTES = 16, CSECRETS_DIGEST_BYTES = 32 };

// Encrypts `count` bytes into `out` (as many bytes) and `tag`. `bound` is authenticated with them, not hidden.
// Returns 1, or 0 when libcrypto refused.
static inline int csecrets_seal(
    const uint8_t *key, const uint8_t *nonce, const uint8_t *bound, size_t bound_count, const uint8_t *plain,
    size_t count, uint8_t *out, uint8_t *tag) {
    int written = 0;
    if (count > INT_MAX || bound_count > INT_MAX) return 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int ok = context && EVP_EncryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_EncryptUpdate(context, NULL, &written, bound, (int)bound_count) == 1 &&
             EVP_EncryptUpdate(context, out, &written, plain, (int)count) == 1 &&
             EVP_EncryptFinal_ex(context, out + written, &written) == 1 &&
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, CSECRETS_TAG_BYTES, tag) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

// The inverse. Returns 1; 0 when key, nonce, `bound` or any byte is not what was sealed.
static inline int csecrets_open(
    const uint8_t *key, const uint8_t *nonce, const uint8_t *bound, size_t bound_count, const uint8_t *sealed,
    size_t count, const uint8_t *tag, uint8_t *out) {
    int written = 0;
    if (count > INT_MAX || bound_count > INT_MAX) return 0;
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int ok = context && EVP_DecryptInit_ex(context, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_DecryptUpdate(context, NULL, &written, bound, (int)bound_count) == 1 &&
             EVP_DecryptUpdate(context, out, &written, sealed, (int)count) == 1 &&
             EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, CSECRETS_TAG_BYTES, (void *)tag) == 1 &&
             EVP_DecryptFinal_ex(context, out + written, &written) == 1;
    EVP_CIPHER_CTX_free(context);
    return ok;
}

static inline int csecrets_random(uint8_t *out, size_t count) {
    return count <= INT_MAX && RAND_bytes(out, (int)count) == 1;
}

static inline int csecrets_sha256(const uint8_t *bytes, size_t count, uint8_t *digest) {
    unsigned length = 0;
    return EVP_Digest(bytes, count, digest, &length, EVP_sha256(), NULL) == 1;
}

// Overwrites; not optimised away.
static inline void csecrets_wipe(void *bytes, size_t count) { OPENSSL_cleanse(bytes, count); }

// No core dump, no ptrace by others of the same user. Returns 0 on success.
static inline int csecrets_forbid_dumps(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); }
static inline int csecrets_may_be_dumped(void) { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }
