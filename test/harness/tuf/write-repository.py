"""Writes a repository with securesystemslib of Debian: its keys, ids, canonical JSON and signatures, none of ours.

usage: write-repository.py DIRECTORY EXPIRES. Prints the canonical form of the JSON on standard input, in hex.
"""

import hashlib
import json
import pathlib
import sys

from securesystemslib import keys
from securesystemslib.formats import encode_canonical

directory, expires = pathlib.Path(sys.argv[1]), sys.argv[2]


def shown(key):
    return keys.format_keyval_to_metadata(key["keytype"], key["scheme"], key["keyval"])


def write(name, body, signers):
    signed = {"spec_version": "1.0.31", "version": 1, "expires": expires, "x-unknown": STRANGE, **body}
    data = encode_canonical(signed).encode("utf-8")
    signatures = [keys.create_signature(key, data) for key in signers]
    text = json.dumps({"signatures": signatures, "signed": signed, "x-beside": None}, ensure_ascii=name.startswith("1.s"))
    path = directory / "metadata" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    content = path.read_bytes()
    return {"version": 1, "length": len(content), "hashes": {"sha512": hashlib.sha512(content).hexdigest()}}


def target(path, content):
    digest = hashlib.sha256(content).hexdigest()
    parent, _, name = path.rpartition("/")
    file = directory / "targets" / parent / f"{digest}.{name}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return {"length": len(content), "hashes": {"sha256": digest}, "custom": {"note": 'a "note"\\\n'}}


# What canonical forms differ in where somebody read the rules otherwise.
STRANGE = {
    "\ufb01": "a ligature, U+FB01",
    "\U0001f600": "beyond U+FFFF: behind it, and before it in UTF-16",
    "\u00e9": "precomposed",
    "e\u0301": "combined",
    "quote\" backslash\\ slash/": "\b\f\n\r\t\u0000\u001f\u007f\u2028",
    "numbers": [0, -1, 2**53 - 1, -(2**53) + 1],
    "others": [True, False, None, [], {}, ""],
}

rsa, ecdsa = keys.generate_rsa_key(2048), keys.generate_ecdsa_key()
ed25519 = [keys.generate_ed25519_key() for _ in range(3)]
everyone = [rsa, ecdsa, *ed25519]
unknown = {"keytype": "tomorrow", "scheme": "tomorrow-1", "keyval": {"public": "?"}}
unknown_id = hashlib.sha256(encode_canonical(unknown).encode()).hexdigest()
ids = lambda some: [key["keyid"] for key in some]
role = lambda some, threshold: {"keyids": ids(some), "threshold": threshold}

write("1.root.json", {
    "_type": "root",
    "consistent_snapshot": True,
    "keys": {**{key["keyid"]: shown(key) for key in everyone}, unknown_id: unknown},
    "roles": {
        "root": {"keyids": [*ids([rsa, ecdsa, ed25519[0]]), unknown_id], "threshold": 3, "x-role": 1},
        "targets": role([rsa, ed25519[1]], 2),
        "snapshot": role([ecdsa], 1),
        "timestamp": role([ed25519[2]], 1),
    },
}, [rsa, ecdsa, ed25519[0]])

hashed = hashlib.sha256("bins/one".encode()).hexdigest()
delegated = lambda name, key, **more: {"name": name, "keyids": [key["keyid"]], "threshold": 1, **more}
nothing = {"_type": "targets", "targets": {}}
meta = {
    "targets.json": write("1.targets.json", {
        "_type": "targets",
        "targets": {"top/\u00e9\U0001f600 \ufb01.txt": target("top/\u00e9\U0001f600 \ufb01.txt", b"top")},
        "delegations": {
            "keys": {key["keyid"]: shown(key) for key in [rsa, ecdsa, ed25519[0]]},
            "roles": [
                delegated("r\u00f4le one", ecdsa, paths=["one/*", "end/*"], terminating=False),
                delegated("bins", rsa, path_hash_prefixes=[hashed[:3]], terminating=False),
                delegated("stop", ed25519[0], paths=["end/*"], terminating=True),
                delegated("behind", ecdsa, paths=["*/*"], terminating=False),
            ],
        },
    }, [rsa, ed25519[1]]),
    "r\u00f4le one.json": write("1.r%C3%B4le%20one.json", {
        "_type": "targets", "targets": {"one/1": target("one/1", b"one"), "top/stolen": target("top/stolen", b"no")},
    }, [ecdsa]),
    "bins.json": write("1.bins.json", {"_type": "targets", "targets": {"bins/one": target("bins/one", b"bin")}}, [rsa]),
    "stop.json": write("1.stop.json", nothing, [ed25519[0]]),
    "behind.json": write("1.behind.json", {
        "_type": "targets", "targets": {"end/1": target("end/1", b"no"), "any/1": target("any/1", b"any")},
    }, [ecdsa]),
}
snapshot = write("1.snapshot.json", {"_type": "snapshot", "meta": meta}, [ecdsa])
write("timestamp.json", {"_type": "timestamp", "meta": {"snapshot.json": snapshot}}, [ed25519[2]])

print(encode_canonical(json.load(sys.stdin)).encode("utf-8").hex())
