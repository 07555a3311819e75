"""Opens a packed file with Hugging Face's own safetensors and checks that every tensor is there.

    python tests/packed/open.py FILE
"""

import json
import struct
import sys

from safetensors import safe_open


def main(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "bertless", metadata
    assert (8 + length) % 64 == 0, length
    with safe_open(path, framework="numpy") as tensors:
        assert tensors.metadata() == metadata
        names = set(tensors.keys())
        assert names == set(header), names ^ set(header)
        numbers = 0
        for name in names:
            # NumPy has no bf16.
            if header[name]["dtype"] != "BF16":
                numbers += tensors.get_tensor(name).size
            start = header[name]["data_offsets"][0]
            assert start % 64 == 0 or name.startswith("padding/"), name
        config = json.loads(tensors.get_tensor("config.json").tobytes())
    assert config["model_type"], config
    print(f"{path}: {len(names)} tensors, {numbers} numbers, {config['model_type']}")


if __name__ == "__main__":
    main(sys.argv[1])
