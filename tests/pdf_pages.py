"""Small PDFs made on the fly: pieces of text at given places, in the fonts that every reader knows.

Courier is used because its letters are 0.6 of the size wide: a line of 40 letters in 10 points is 240 points long.
"""

from __future__ import annotations

import textwrap
import zlib
from dataclasses import dataclass
from pathlib import Path

FONTS = ("Courier", "Courier-Bold", "Courier-Oblique", "Symbol")
ROMAN, BOLD, ITALIC, SYMBOL = range(4)
#: Codes that stand for ligatures and a lone accent in these fonts.
DIFFERENCES = "[1 /fi /fl /ff /acute /dotlessi /bullet /emdash]"
FI, FL, FF, ACUTE, DOTLESS_I, BULLET, DASH = map(chr, range(1, 8))
WIDTH, HEIGHT = 612, 792


@dataclass(frozen=True)
class Text:
    x: float
    y: float
    text: str
    size: float = 10
    font: int = ROMAN
    turned: bool = False

    def operators(self) -> bytes:
        escaped = self.text.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        place = f"0 1 -1 0 {self.x} {self.y} Tm" if self.turned else f"1 0 0 1 {self.x} {self.y} Tm"
        return f"BT /F{self.font} {self.size} Tf {place} ({escaped}) Tj ET\n".encode("latin-1")


def column(
    x: float, y: float, chars: int, text: str, size: float = 10, indent: int = 0, lead: float = 12
) -> list[Text]:
    """A paragraph of lines of at most `chars` letters, justified by wider spaces but for the last."""
    lines = textwrap.wrap(" " * indent + text, chars, break_on_hyphens=False, drop_whitespace=True)
    found: list[Text] = []
    for number, line in enumerate(lines):
        start = x + (indent * 0.6 * size if number == 0 else 0)
        words = line.split()
        spare = (chars - (indent if number == 0 else 0)) - sum(map(len, words))
        gap = spare / max(1, len(words) - 1)
        if number == len(lines) - 1 or gap > 1.8:  # a wider gap would be the space between two cells of a table
            gap = 1.0
        for word in words:
            found.append(Text(round(start, 2), y - number * lead, word, size))
            start += (len(word) + gap) * 0.6 * size
    return found


def make(pages: list[list[Text]], title: str = "", author: str = "", encrypt: bool = False) -> bytes:
    """The bytes of a PDF."""
    encoding = f"<< /Type /Encoding /BaseEncoding /WinAnsiEncoding /Differences {DIFFERENCES} >>"
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b""]
    for name in FONTS:
        extra = "" if name == "Symbol" else f"/Encoding {encoding} "
        objects.append(f"<< /Type /Font /Subtype /Type1 /BaseFont /{name} {extra}>>".encode())
    fonts = " ".join(f"/F{number} {number + 3} 0 R" for number in range(len(FONTS)))
    kids = []
    for page in pages:
        stream = zlib.compress(b"".join(piece.operators() for piece in page))
        objects.append(b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(stream), stream))
        content = len(objects)
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {content} 0 R "
            f"/Resources << /Font << {fonts} >> >> >>".encode()
        )
        kids.append(f"{len(objects)} 0 R")
    objects[1] = f"<< /Type /Pages /Kids [{' '.join(kids)}] /Count {len(kids)} >>".encode()
    objects.append(f"<< /Title ({title}) /Author ({author}) >>".encode("latin-1"))
    trailer = f"/Root 1 0 R /Info {len(objects)} 0 R"
    if encrypt:  # no password gives these hashes: it can be opened by nobody
        objects.append(f"<< /Filter /Standard /V 1 /R 2 /P -4 /O <{'41' * 32}> /U <{'42' * 32}> >>".encode())
        trailer += f" /Encrypt {len(objects)} 0 R /ID [<{'43' * 16}> <{'43' * 16}>]"
    return assemble(objects, trailer)


def assemble(objects: list[bytes], trailer: str) -> bytes:
    """Objects with their cross-reference table."""
    out = bytearray(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def write(path: Path, pages: list[list[Text]], **stated: str) -> Path:
    """Writes a PDF and returns where."""
    path.write_bytes(make(pages, **stated))  # type: ignore[arg-type]
    return path
