#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""unpack.py BZIMAGE VMLINUX: the kernel's ELF image out of a compressed one, which boots seconds faster where every
instruction is emulated (QEMU enters it through its PVH note)."""
import struct
import subprocess
import sys

# Linux/x86 boot protocol: where the header says that the compressed image lies, counted from the protected-mode code
SETUP_SECTORS, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x1F1, 0x248, 0x24C
TOOLS = {
    b"\x28\xb5\x2f\xfd": ["zstd", "-qdc"],
    b"\xfd7zX": ["xz", "-dc", "--single-stream"],
    b"\x02\x21\x4c\x18": ["lz4", "-dc"],
    b"\x1f\x8b\x08\x00": ["gzip", "-dc"],
}


def payload(image):
    setup = (image[SETUP_SECTORS] + 1) * 512
    offset, length = struct.unpack_from("<I", image, PAYLOAD_OFFSET)[0], struct.unpack_from("<I", image, PAYLOAD_LENGTH)[0]
    return image[setup + offset : setup + offset + length]


def main():
    with open(sys.argv[1], "rb") as file:
        packed = payload(file.read())
    tool = TOOLS.get(packed[:4])
    if not tool:
        sys.exit(f"unpack.py: {sys.argv[1]}: compressed in an unknown way ({packed[:4].hex()})")
    # the length of the whole follows what is compressed: the tools complain of that, and have done their work
    kernel = subprocess.run(tool, input=packed, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    if kernel[:4] != b"\x7fELF":
        sys.exit(f"unpack.py: {sys.argv[1]}: no ELF image in it")
    with open(sys.argv[2], "wb") as file:
        file.write(kernel)


main()
