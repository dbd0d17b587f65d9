"""Makes tokenizers.jsonl: small random tokenizers, and what the tokenizers library makes of texts and ids with them.

    pip install tokenizers==0.23.1 && python tokenizer_cases.py > tokenizers.jsonl

A line: `tokenizer` (a tokenizer.json), `encode` (`text`, `ids` with special tokens parsed and the template added,
`plain` with neither), `decode` (`ids`, `text`, `skipping` special tokens). The vocabularies are made up here.
"""
import json
import random
import sys

from tokenizers import Tokenizer

LETTERS = [chr(c) for c in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x144)]]
EXPRESSIONS = [
    r"'s|'t| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'ll)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+", r"\d{1,3}(?=(?:\d{3})*\b)",
    r"\s+", r"\w+", r"\W", r"[\S]+", r"[^\S\n]+", r"[\Wa]", r"[^\W_]", r"^.", r".$", r"(?<=a)b", r"\h+", r"(?m).+",
    r"(?:\r?\n)+", r"\p{Han}", r"[^\p{L}\s]++", r"\u0041", r"[\v\t]", r"a{,2}b", r"\A.|.\z", r"(?>a+)b", r"\p{^L}+",
    r"[^\P{L}]", r"(?x) a  b # c", r"\p{Letter}+",
]
EMPTY_MATCHES = [r"\b", r"\B", r"a*", r"(?=(\d{3})+(?!\d))"]
ATOMS = [
    "a", "b", "ab", "abc", "c", "d", "e", " ", "  ", "\n", "\r\n", "\u2581", "é", "e\u0301", "한", "<s>", "<unk>",
    "[X]", "foo bar", "<é>", "Ġx", "</s>", "A", "B", "1", "12", "1234567", ".", "-", "--", "'s", "'S", "'ſ", "Ä", "ß",
    "\u00a0", "\u180e", "\u0085", "\x0b", "中文", "🚀", "\u0130", "x", "_", "if", "<0x41>", "\u1e9b\u0323", "\u2003",
    "ﬁ", "ÉA", "Ⅷ", "²", "\u200d", "K", "\0", "\U00031350",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
chance, pick = random.random, random.choice


def pattern(expressions):
    return {"String": pick([" ", "\u2581", "a", "ab", "\n", "--", "é"])} if chance() < 0.35 else {"Regex": pick(expressions)}


def normalizer(nested=False):
    kind = pick(["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Replace", "Prepend", "ByteLevel"])
    if not nested and chance() < 0.6:
        return {"type": "Sequence", "normalizers": [normalizer(True) for _ in range(2)]} if chance() < 0.4 else None
    fields = {
        "Strip": lambda: {"strip_left": chance() < 0.5, "strip_right": chance() < 0.5},
        "Replace": lambda: {"pattern": pattern(EXPRESSIONS), "content": pick(["", "\u2581", "xy", " "])},
        "Prepend": lambda: {"prepend": pick(["\u2581", "x "])},
    }
    return {"type": kind, **fields.get(kind, dict)()}


def pre_tokenizer(nested=False):
    kind = pick([
        "Split", "Split", "ByteLevel", "Metaspace", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
        "BertPreTokenizer", "CharDelimiterSplit",
    ])
    if not nested and chance() < 0.5:
        steps = [pre_tokenizer(True) for _ in range(random.randint(1, 3))]
        return {"type": "Sequence", "pretokenizers": steps} if chance() < 0.8 else None
    fields = {
        "Split": lambda: {
            "pattern": pattern(EXPRESSIONS + EMPTY_MATCHES), "behavior": pick(BEHAVIORS), "invert": chance() < 0.3},
        "ByteLevel": lambda: {"add_prefix_space": chance() < 0.4, "trim_offsets": True, "use_regex": chance() < 0.6},
        "Metaspace": lambda: {
            "replacement": "\u2581", "prepend_scheme": pick(["always", "first", "never"]), "split": chance() < 0.6},
        "Digits": lambda: {"individual_digits": chance() < 0.5},
        "Punctuation": lambda: {"behavior": pick(BEHAVIORS)},
        "CharDelimiterSplit": lambda: {"delimiter": pick([" ", "-", "a"])},
    }
    return {"type": kind, **fields.get(kind, dict)()}


def decoder(nested=False):
    kind = pick(["ByteLevel", "ByteFallback", "Fuse", "Replace", "Strip", "Metaspace", "BPEDecoder"])
    if not nested and chance() < 0.6:
        steps = [decoder(True) for _ in range(random.randint(1, 4))]
        return {"type": "Sequence", "decoders": steps} if chance() < 0.8 else None
    fields = {
        "ByteLevel": lambda: {"add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "Replace": lambda: {
            "pattern": pick([{"String": "\u2581"}, {"String": "ab"}, {"Regex": "a+"}, {"Regex": "\u2581$"}]),
            "content": pick([" ", "", "x"])},
        "Strip": lambda: {"content": pick([" ", "\u2581", "a"]), "start": random.randint(0, 2), "stop": 0},
        "Metaspace": lambda: {
            "replacement": "\u2581", "prepend_scheme": pick(["always", "first", "never"]), "split": True},
        "BPEDecoder": lambda: {"suffix": pick(["</w>", "b"])},
    }
    return {"type": kind, **fields.get(kind, dict)()}


def model(byte_level):
    letters = LETTERS if byte_level else [*"abcdeAB019 .-\n", "\u2581", "é", "한", "\u0301"]
    if chance() < 0.5:
        letters = [letter for letter in letters if chance() < 0.93]
    tokens = ["<unk>", "<s>", *letters]
    if not byte_level and chance() < 0.4:
        tokens += ["<0x%02X>" % byte for byte in range(256) if chance() < 0.97]
    random.shuffle(tokens)
    usual = [letter for letter in letters if letter in "abcdeĠ\u2581t s"] or letters
    parts, merges = list(letters), []
    for _ in range(random.randint(0, 60)):
        pair = [pick(usual if chance() < 0.7 else parts) for _ in range(2)]
        if pair not in merges:
            merges.append(pair)
            if "".join(pair) not in tokens:
                tokens.append("".join(pair))
            parts.append("".join(pair))
            usual.append("".join(pair))
    if chance() < 0.15:
        scores = [[token, -random.random() * 10 if chance() < 0.9 else -3.0] for token in tokens]
        return {"type": "Unigram", "unk_id": tokens.index("<unk>"), "vocab": scores, "byte_fallback": chance() < 0.5}
    joined = chance() < 0.4 and not any(" " in token for pair in merges for token in pair)
    return {
        "type": "BPE", "dropout": None, "unk_token": "<unk>" if chance() < 0.6 else None,
        "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": chance() < 0.5,
        "byte_fallback": chance() < 0.5, "ignore_merges": chance() < 0.3,
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": [" ".join(pair) for pair in merges] if joined else merges,
    }


def added_tokens(made):
    known = [entry[0] for entry in made["vocab"]] if isinstance(made["vocab"], list) else list(made["vocab"])
    added, following = [], len(known)
    contents = ["<s>", "<unk>", "[X]", "ab", "foo bar", "<é>", "Ġx", "</s>", "\u2581b", "  ", "\n\n"]
    for content in random.sample(contents, random.randint(0, 6)):
        number = known.index(content) if content in known else following
        following += content not in known
        # The library does not skip special tokens that normalizing changes; no checkpoint has such.
        normalized, special = pick([(False, True), (False, False), (True, False)])
        added.append({
            "id": number, "content": content, "single_word": chance() < 0.25, "lstrip": chance() < 0.25,
            "rstrip": chance() < 0.25, "normalized": normalized, "special": special})
    return sorted(added, key=lambda token: token["id"])


def tokenizer():
    byte_level = chance() < 0.4
    before, after = pre_tokenizer(), decoder()
    if byte_level and chance() < 0.8:
        before = {"type": "ByteLevel", "add_prefix_space": chance() < 0.3, "trim_offsets": True, "use_regex": chance() < 0.5}
        if chance() < 0.5:
            before = {"type": "Sequence", "pretokenizers": [pre_tokenizer(True), before]}
        after = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    made = model(byte_level)
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing", "single": [begin, text] + ([begin] if chance() < 0.3 else []),
        "pair": [text, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [3], "tokens": ["<s>"]}}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens(made),
        "normalizer": normalizer(), "pre_tokenizer": before, "post_processor": template if chance() < 0.5 else None,
        "decoder": after, "model": made}


def case():
    """None for what the library itself refuses or fails on."""
    made = tokenizer()
    try:
        library = Tokenizer.from_str(json.dumps(made))
        plain = Tokenizer.from_str(json.dumps(made))
        plain.encode_special_tokens = True
        size = library.get_vocab_size()
        encode, decode = [], []
        for _ in range(8):
            text = "".join(pick(ATOMS) for _ in range(random.randint(0, 14)))
            ids = library.encode(text).ids
            encode.append({
                "text": text, "ids": ids, "plain": plain.encode(text, add_special_tokens=False).ids})
            if chance() < 0.5:
                ids = [random.randrange(size) for _ in range(random.randint(1, 10))]
            decode.append({
                "ids": ids, "text": library.decode(ids, skip_special_tokens=False),
                "skipping": library.decode(ids, skip_special_tokens=True)})
        return {"tokenizer": made, "encode": encode, "decode": decode}
    except BaseException:  # Panics of the library are not Exceptions.
        return None


if __name__ == "__main__":
    random.seed(20)
    count = 0
    while count < 80:
        line = case()
        if line:
            count += 1
            json.dump(line, sys.stdout, ensure_ascii=True, separators=(",", ":"))
            print()
