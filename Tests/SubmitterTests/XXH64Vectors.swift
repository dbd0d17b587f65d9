// Digests by the reference implementation (https://xxhash.com, seed 0) of the bytes 0, 1, 2 … modulo 251.
enum XXH64Vectors {
    static let digests: [(count: Int, digest: UInt64)] = [
        (0, 0xef46_db37_51d8_e999), (1, 0xe934_a84a_db05_2768), (3, 0xe5c7_bb45_33bc_65dd),
        (4, 0xffce_d860_4453_cc1e), (8, 0x884a_1736_14b8_1b8d), (31, 0xc346_d2b5_9b4d_8ee1),
        (32, 0xcbf5_9c51_16ff_32b4), (33, 0x0c53_5d1a_cafb_8ead), (63, 0xe26a_a9e2_a95f_8e4f),
        (64, 0xf7c6_7301_db67_13f0), (100, 0x6ac1_e580_3216_6597), (1000, 0xf306_f04a_a88b_54d3),
    ]
}
