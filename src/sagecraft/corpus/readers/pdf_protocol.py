"""How the reader of PDF and its child process speak: frames of a kind, a number, a length and the text itself."""

from __future__ import annotations

import struct

#: Before a job: its length in bytes.
JOB = struct.Struct("<I")
#: Before an answer: its kind, the exit code of the copy that read the file, and its length in bytes.
FRAME = struct.Struct("<iiQ")
#: Kinds of answers: the document, a reason why there is none, the end of the copy.
ANSWER, FAULT, DIED = 0, 1, 2
