"""Verifies metadata with securesystemslib of Debian. On standard input: {"root": .., "targets": .., ..}, each one file.

Prints for each role how many of its keys signed, as root says, and how many have to.
"""

import hashlib
import json
import sys

from securesystemslib import keys
from securesystemslib.formats import encode_canonical

files = json.load(sys.stdin)
root = files["root"]["signed"]


def is_signed(key_id, metadata):
    key = root["keys"][key_id]
    if hashlib.sha256(encode_canonical(key).encode("utf-8")).hexdigest() != key_id:
        return False
    found = [one for one in metadata["signatures"] if one["keyid"] == key_id]
    data = encode_canonical(metadata["signed"]).encode("utf-8")
    return len(found) == 1 and keys.verify_signature({**key, "keyid": key_id}, found[0], data)


print(json.dumps({
    name: [sum(is_signed(key_id, files[name]) for key_id in role["keyids"]), role["threshold"]]
    for name, role in root["roles"].items()
}))
