"""Answers of the services that literature comes from, made for the tests."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping

CC_BY = "http://creativecommons.org/licenses/by/4.0/"
ARXIV_LICENSE = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
_OAI = 'xmlns="http://www.openarchives.org/OAI/2.0/"'


def _header(identifier: str, datestamp: str, status: str = "") -> str:
    return (
        f"<header{status}><identifier>oai:arXiv.org:{identifier}</identifier><datestamp>{datestamp}</datestamp>"
        "<setSpec>math</setSpec></header>"
    )


def record(
    identifier: str,
    title: str,
    license_url: str = CC_BY,
    datestamp: str = "2021-01-04",
    categories: str = "math.NA cs.LG",
) -> str:
    """A record in the format arXiv."""
    return f"""<record>{_header(identifier, datestamp)}<metadata>
      <arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>{identifier}</id><created>2021-01-01</created>
      <authors>
        <author><keyname>Lovelace</keyname><forenames>Ada</forenames><suffix>Jr.</suffix></author>
        <author><keyname>du Châtelet</keyname><forenames>Émilie</forenames></author>
      </authors>
      <title>{title}</title><categories>{categories}</categories><doi>10.1000/{identifier}</doi>
      <license>{license_url}</license><abstract>  We look at {title} and find $x^2 &lt; 1$.
      </abstract></arXiv></metadata></record>"""


def raw_record(identifier: str, versions: list[str]) -> str:
    """A record in the format arXivRaw, without a licence."""
    history = "".join(
        f'<version version="{name}"><date>Fri, 1 Jan 2021 00:00:00 GMT</date></version>' for name in versions
    )
    return f"""<record>{_header(identifier, "2021-01-04")}<metadata>
      <arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>{identifier}</id><submitter>A. B. Cee</submitter>{history}
      <title>Raw</title><authors>A. B. Cee (Institute (of, and for) Things), D. Eff and G. Aitch</authors>
      <categories>math.NA</categories><abstract>Raw abstract.</abstract></arXivRaw></metadata></record>"""


def deleted(identifier: str, datestamp: str = "2021-01-04") -> str:
    header = _header(identifier, datestamp, ' status="deleted"')
    return f"<record>{header}</record>"


def page(*records: str, token: str = "", size: int | None = None) -> str:
    stated = f' completeListSize="{size}"' if size is not None else ""
    end = f"<resumptionToken{stated}>{token}</resumptionToken>" if token else "<resumptionToken/>"
    return f"<?xml version='1.0' encoding='UTF-8'?><OAI-PMH {_OAI}><ListRecords>{''.join(records)}{end}</ListRecords></OAI-PMH>"


def one(body: str) -> str:
    return f"<OAI-PMH {_OAI}><GetRecord>{body}</GetRecord></OAI-PMH>"


def error(code: str, text: str = "") -> str:
    return f'<OAI-PMH {_OAI}><error code="{code}">{text}</error></OAI-PMH>'


def tex(title: str) -> bytes:
    return f"\\documentclass{{article}}\\title{{{title}}}\\begin{{document}}Words, $x$.\\end{{document}}".encode()


def tar(files: Mapping[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> bytes:
    """A tar archive without times."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
        for member in extra or []:
            archive.addfile(member)
    return buffer.getvalue()


def tarball(title: str) -> bytes:
    return gzip.compress(tar({"main.tex": tex(title), "refs.bib": b"@article{a, title={B}}"}), mtime=0)


PDF = b"%PDF-1.5\n1 0 obj << >> endobj\ntrailer << >>\n%%EOF\n"
