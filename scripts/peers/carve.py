"""Carving as a script would: carve.py IMAGE FOLDER < list of START LEN NAME."""

import os
import sys

image = open(sys.argv[1], "rb")
for line in sys.stdin:
    start, length, name = line.split()
    image.seek(int(start))
    with open(os.path.join(sys.argv[2], name), "wb") as file:
        file.write(image.read(int(length)))
