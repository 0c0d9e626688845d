"""The LaTeX reader: each feature with its exact Markdown, a golden paper, hostile input."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sagecraft.corpus.readers.latex import left_over, read_latex
from sagecraft.corpus.readers.latex_bib import parse_bib, parse_biblatex, split_names
from sagecraft.corpus.readers.latex_cite import from_entry, short_form
from sagecraft.corpus.readers.latex_tokens import PAR, RAW, scan, source_of
from sagecraft.corpus.readers.result import ReadResult

GOLDEN = Path(__file__).parents[2] / "golden" / "latex"
Reader = Callable[..., ReadResult]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads a document made of a preamble, a body and further files."""

    def run(body: str, preamble: str = "", document_class: str = "article", **files: str) -> ReadResult:
        for name, text in files.items():
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        main = tmp_path / "main.tex"
        text = f"\\documentclass{{{document_class}}}\n{preamble}\n\\begin{{document}}\n{body}\n\\end{{document}}\n"
        main.write_text(text, encoding="utf-8")
        return read_latex(main, tmp_path)

    return run


# ---- words ----


@pytest.mark.parametrize(
    ("latex", "markdown"),
    [
        ("a % gone\nb", "a b"),
        ("50\\% of \\$5 \\& \\#1 a\\_b", "50% of \\$5 & #1 a_b"),
        ("a%\nb", "ab"),
        ("one\ntwo\n\nthree", "one two\n\nthree"),
        ("a\\par b", "a\n\nb"),
        ("``quoted'' 1--2---3", "“quoted” 1–2—3"),
        ("M~31 118\\,218 a\\ b", "M 31 118 218 a b"),
        ("\\'e \\\"{o} \\v{s} \\c c {\\o} \\aa{} \\^{\\i} Ho\\v r\\'ava", "é ö š ç ø å î Hořáva"),
        ("\\emph{a} \\textbf{b} {\\it c} {\\bf d} \\textit{ e}", "*a* **b** *c* **d** *e*"),
        ("\\textsc{Ab} \\textrm{cd} \\mbox{ef} {\\small g}", "Ab cd ef g"),
        ("\\texttt{x\\_y}", "`x_y`"),
        ("\\verb|a\\b{%$| c", "`a\\b{%$` c"),
        ("a\\footnote{See \\emph{b}.} c", "a (See *b*.) c"),
        ("\\url{http://x.org/a_b%20c}", "http://x.org/a_b%20c"),
        ("\\href{http://x.org/A\\%26B}{the text}", "[the text](http://x.org/A%26B)"),
        ("\\LaTeX{} is \\TeX", "LaTeX is TeX"),
        ("a \\unknowncmd{b $x$} c", "a \\unknowncmd{b $x$} c"),
        ("a\\label{x}\\vspace{3pt}\\noindent b\\hspace*{1em}c", "ab c"),
        ("line\\\\[2pt]next", "line\nnext"),
        ("{\\em outer \\textbf{in}}", "{}*outer **in***"[2:]),
        ("\\iffalse no \\else yes\\fi{} \\iftrue a\\else b\\fi", "yes a"),
        ("\\textcolor{red}{a} {\\color{blue} b}", "a b"),
        ("a \\vskip 0.3cm plus 1pt b\\kern-3pt c\\rule{1cm}{1pt} \\parindent=0pt d", "a\n\nbc d"),
        ("Ph.D.\\@ X", "Ph.D. X"),
        ("x\\textsuperscript{2}", "x$^{\\mathrm{2}}$"),
    ],
)
def test_words(read: Reader, latex: str, markdown: str) -> None:
    assert read(latex).text == markdown + "\n"


def test_unknown_commands_are_counted(read: Reader) -> None:
    result = read("\\foo{a} \\bar b")
    assert result.text == "\\foo{a} \\bar b\n"
    assert result.counts["kept_verbatim"] == 2


# ---- macros ----


@pytest.mark.parametrize(
    ("definition", "use", "markdown"),
    [
        ("\\newcommand{\\x}{abc}", "\\x d \\x{} d", "abcd abc d"),
        ("\\newcommand\\x[2][q]{#2-#1}", "\\x{a} \\x[b]{a}", "a-q a-b"),
        ("\\def\\x#1#2{#2#1}", "\\x ab$\\x{c}{d}$", "ba$dc$"),
        ("\\def\\x#1.#2;{[#1|#2]}", "\\x a.b; c", "[a|b] c"),
        ("\\newcommand{\\y}{Z}\\newcommand{\\x}{\\y\\y}", "\\x", "ZZ"),
        ("\\providecommand{\\x}{1}\\providecommand{\\x}{2}\\renewcommand{\\z}{3}", "\\x\\z", "13"),
        ("\\DeclareMathOperator*{\\argmax}{arg\\,max}", "$\\argmax x$", "$\\operatorname*{arg\\,max} x$"),
        ("\\newcommand{\\be}{\\begin{equation}}\\newcommand{\\ee}{\\end{equation}}", "\\be a=b \\ee", "$$a=b$$"),
        ("\\newcommand{\\M}{M_\\odot}", "$\\frac\\M\\M x_\\M$", "$\\frac{M_\\odot}{M_\\odot} x_{M_\\odot}$"),
        ("\\newcommand{\\v}{\\mathbf{v}}", "$\\v$", "$\\mathbf{v}$"),
        ("\\newcommand{\\q}{\\ensuremath{\\tau}}", "\\q, $\\q^2$", "$\\tau$, $\\tau^2$"),
        ("\\usepackage{xspace}\\newcommand{\\g}{Gaia\\xspace}", "\\g is \\g, \\g", "Gaia is Gaia, Gaia"),
        ("\\let\\old\\emph \\renewcommand{\\emph}[1]{!}", "\\old{a}", "*a*"),
        ("\\newenvironment{w}[1]{<#1>}{</>}", "\\begin{w}{k}in\\end{w}", "<k>in</>"),
        ("\\NewDocumentCommand{\\x}{s O{d} m}{\\IfBooleanTF{#1}{S}{N}#2#3}", "\\x{a} \\x*[b]{c}", "Nda Sbc"),
        ("\\newif\\ifdraft\\drafttrue", "\\ifdraft a\\else b\\fi", "a"),
        ("\\makeatletter\\def\\a@b{in}\\newcommand{\\x}{\\a@b}\\makeatother", "\\x", "in"),
        (
            "\\def\\lsim{\\mathrel{\\rlap{\\lower4pt\\hbox{\\hskip1pt$\\sim$}}\\raise1pt\\hbox{$<$}}}",
            "$a \\lsim b$",
            "$a \\lesssim b$",
        ),
        ("\\newcommand{\\u}[1]{\\mathrm{#1}}", "$3\\u{km}x$", "$3\\mathrm{km}x$"),
    ],
)
def test_macros(read: Reader, definition: str, use: str, markdown: str) -> None:
    assert read(use, definition).text == markdown + "\n"


def test_a_package_beside_the_document_gives_its_plain_macros(read: Reader) -> None:
    package = "\\newcommand{\\mine}{own}\\def\\odd{\\expandafter\\x@y}Not text."
    assert read("\\mine", "\\usepackage{mymacros}", mymacros__sty=package).text == "own\n"


# ---- mathematics ----


@pytest.mark.parametrize(
    ("latex", "markdown"),
    [
        ("$a_1$ and \\(b\\)", "$a_1$ and $b$"),
        ("see \\[ E = mc^2 \\] where", "see\n$$E = mc^2$$\nwhere"),
        ("\\begin{equation}\\label{e} x \\end{equation}", "$$x$$"),
        ("$$ y $$", "$$y$$"),
        ("\\begin{align} a &= b \\nonumber\\\\ c &= d \\label{q} \\end{align}", "$$\\begin{aligned}\na &= b \\\\\nc &= d\n\\end{aligned}$$"),
        ("\\begin{eqnarray} a & = & b \\\\ c & = & d \\end{eqnarray}", "$$\\begin{aligned}\na & = b \\\\\nc & = d\n\\end{aligned}$$"),
        ("\\begin{gather*} a \\\\ b \\end{gather*}", "$$\\begin{gathered}\na \\\\\nb\n\\end{gathered}$$"),
        ("\\begin{align*} a = b \\end{align*}", "$$a = b$$"),
        ("\\begin{equation}\\begin{split}a&=b\\\\&=c\\end{split}\\end{equation}", "$$\\begin{split}a&=b\\\\&=c\\end{split}$$"),
        ("$x \\mbox{ for $y>0$ and } z$", "$x \\mbox{ for }y>0\\mbox{ and } z$"),
        ("$a$$b$", "$a b$"),
        ("$\\alpha% comment\n b$", "$\\alpha b$"),
        ("$$ x \\eqno(3) $$", "$$x$$"),
        ("\\begin{math}q\\end{math}", "$q$"),
        ("$5\\,\\SI{3e5}{\\km\\per\\s}$ \\SI{2}{m} \\num{1e3}", "$5\\,3 \\times 10^{5}\\,\\mathrm{km\\,s^{-1}}$ 2 m $1 \\times 10^{3}$"),
        ("\\begin{equation} a \\footnote{note} \\end{equation}", "$$a$$\n(note)"),
    ],
)  # fmt: skip
def test_mathematics(read: Reader, latex: str, markdown: str) -> None:
    assert read(latex).text == markdown + "\n"


def test_formulas_are_counted(read: Reader) -> None:
    counts = read("$a$ $b$ \\[c\\] \\begin{align}d\\\\e\\end{align}").counts
    assert (counts["equations_inline"], counts["equations_display"]) == (2, 2)


# ---- structure ----


def test_front_and_sections(read: Reader) -> None:
    result = read(
        "\\maketitle\\begin{abstract}Short.\\end{abstract}\n"
        "\\section{One}A.\\subsection*{Two}B.\\subsubsection{Three}C.\\paragraph{Four} D.\n"
        "\\section*{Acknowledgements}Thanks.\\appendix\\section{More}E.\\bibliography{none}",
        "\\title{A \\emph{fine}\\\\ title\\thanks{T}}\\author{Ann B. Lee\\inst{1} \\and Bo Öl$^{2}$, and Cy~Dee\\thanks{x}}\\date{May 2021}",
    )
    assert result.text == (
        "# A *fine* title\n\n## Abstract\n\nShort.\n\n## One\n\nA.\n\n### Two\n\nB.\n\n#### Three\n\nC.\n\n**Four** D.\n\n## More\n\nE.\n"
    )
    assert result.title == "A fine title"
    assert result.authors == ["Ann B. Lee", "Bo Öl", "Cy Dee"]
    assert result.year == 2021


def test_authors_of_journal_classes(read: Reader) -> None:
    front = "\\author[0000-0001]{T. Wagg}\\affiliation{X}\\author{K. de Mink}\\title{T}\n"
    assert read(front + "x", document_class="aastex631").authors == ["T. Wagg", "K. de Mink"]
    mnras = "\\author[A. Bee et al.]{A. Bee,$^{1}$\\thanks{E-mail: a@b.c} C. Dee$^{2}$\n and E. Eff\\\\ $^{1}$Some University}"
    assert read("x", mnras, "mnras").authors == ["A. Bee", "C. Dee", "E. Eff"]


def test_structured_abstract(read: Reader) -> None:
    text = read("\\abstract{Context.}{Aims.}{}{Results.}{}\n\nBody.", document_class="aa").text
    assert text == "## Abstract\n\nContext.\n\nAims.\n\nResults.\n\nBody.\n"


def test_lists(read: Reader) -> None:
    text = read(
        "Before\\begin{itemize}\\item one\n\\item two\\begin{enumerate}\\item a\n\n\\item b\\[x\\]c\\end{enumerate}\n\\end{itemize}after"
        "\\begin{description}\\item[Key] value\\end{description}"
    ).text
    assert text == "Before\n\n- one\n- two\n  1. a\n  2. b\n     $$x$$\n     c\n\nafter\n\n- **Key** value\n"


def test_table(read: Reader) -> None:
    text = read(
        "\\begin{table}\\caption{Stars.}\\label{t}\\begin{tabular}{lc}\\toprule Name & $|v|$ \\\\ \\midrule \\multicolumn{2}{c}{both} \\\\\n"
        "\\cmidrule(lr){1-2} A\\,1 & 2|3 \\\\ \\bottomrule\\end{tabular}\\end{table} Table~\\ref{t}."
    ).text
    assert (
        text
        == "Table 1: Stars.\n\n| Name | $\\vert v\\vert$ |\n| --- | --- |\n| both |  |\n| A 1 | 2\\|3 |\n\nTable 1.\n"
    )


def test_deluxetable(read: Reader) -> None:
    text = read(
        "\\begin{deluxetable*}{cc}\\tablecaption{Cap\\label{d}}\\tablehead{\\colhead{A} & \\colhead{B\\tablenotemark{a}}}\\startdata\n"
        "1 & \\nodata \\\\ 3 & 4\n\\enddata\\tablenotetext{a}{Note.}\\tablecomments{All.}\\end{deluxetable*}\\autoref{d}"
    ).text
    assert (
        text == "Table 1: Cap\n\n| A | B$^{a}$ |\n| --- | --- |\n| 1 | … |\n| 3 | 4 |\n\na: Note.\n\nAll.\n\nTable 1\n"
    )


def test_macros_that_hold_half_a_row(read: Reader) -> None:
    assert read(
        "\\begin{tabular}{cc}\\row{1}{2}\\row{3}{4}\\end{tabular}", "\\newcommand{\\row}[2]{#1 & #2 \\\\}"
    ).text == ("| 1 | 2 |\n| --- | --- |\n| 3 | 4 |\n")


def test_figures_keep_their_captions_only(read: Reader) -> None:
    text = read(
        "\\begin{figure}[ht]\\centering\\includegraphics[width=3cm]{a.pdf}\\caption[s]{A \\emph{map}.}\\label{f}\\end{figure} Fig.~\\ref{f}"
    ).text
    assert text == "Figure 1: A *map*.\n\nFig. 1\n"


def test_verbatim_keeps_every_character(read: Reader) -> None:
    code = "def f(x):\n    return x % 2  # $\n\n\n    \\n"
    result = read(f"a\\begin{{lstlisting}}[language=Python]\n{code}\n\\end{{lstlisting}}b")
    assert result.text == f"a\n\n```\n{code}\n```\n\nb\n"


def test_theorems_quotes_and_pictures(read: Reader) -> None:
    text = read(
        "\\begin{thm}[Noether] Yes.\\label{n}\\end{thm}\\begin{proof}By \\ref{n}.\\end{proof}\\begin{quote}Words.\\end{quote}"
        "\\begin{tikzpicture}\\draw (0,0);\\end{tikzpicture}\\begin{comment}x\\end{comment}",
        "\\newtheorem{thm}{Theorem}",
    ).text
    assert text == "**Theorem 1 (Noether).** Yes.\n\n*Proof.* By 1.\n\n> Words.\n"


# ---- references ----


def test_references(read: Reader) -> None:
    text = read(
        "\\section{A}\\label{s}\\subsection{B}\\label{ss}\\begin{align}a\\label{e1}\\\\b\\nonumber\\\\c\\label{e2}\\end{align}"
        "\\begin{subequations}\\begin{align}a\\label{e3a}\\\\b\\label{e3b}\\end{align}\\end{subequations}"
        "\\ref{s} \\ref{ss} \\eqref{e1} \\ref{e2} \\ref{e3b} \\autoref{e1} \\cref{e1,e2} \\ref{none} \\nameref{s}\\appendix\\section{C}\\label{c} \\ref{c}"
    ).text
    assert "1 1.1 (1) 2 3b Equation 1 Equations (1) and (2) ?? A\n" in text
    assert text.endswith("## C\n\nA\n")


def test_numbers_within_chapters(read: Reader) -> None:
    text = read(
        "\\chapter{X}\\section{Y}\\label{y}\\begin{equation}z\\label{z}\\end{equation}\\ref{y} \\ref{z}",
        document_class="book",
    ).text
    assert text == "## X\n\n### Y\n\n$$z$$\n1.1 1.1\n"


def test_own_equation_numbers(read: Reader) -> None:
    preamble = "\\renewcommand{\\theequation}{\\Alph{section}\\arabic{equation}}"
    assert read("\\section{A}\\begin{equation}z\\label{z}\\end{equation}\\ref{z}", preamble).text.endswith("A1\n")


# ---- citations ----

BBL = r"""\begin{thebibliography}{3}
\expandafter\ifx\csname natexlab\endcsname\relax\def\natexlab#1{#1}\fi
\bibitem[{{Abbott} {et~al.}(2017{\natexlab{a}}){Abbott}, {Abbott}, \& et~al.}]{abbott}
{Abbott}, B.~P. 2017, \prl, 119, 161101
\bibitem[{Agol \& {Luger}(2020)}]{agol} Agol, E. 2020
\bibitem[Ag\"uer(1999)]{aguer} A.
\end{thebibliography}"""


@pytest.mark.parametrize(
    ("latex", "markdown"),
    [
        ("\\citet{abbott}", "Abbott et al. (2017a)"),
        ("\\citep{abbott,agol}", "(Abbott et al. 2017a; Agol & Luger 2020)"),
        ("\\citep[see][p.~3]{agol}", "(see Agol & Luger 2020, p. 3)"),
        ("\\citep[e.g.][]{agol}", "(e.g. Agol & Luger 2020)"),
        ("\\citet[\\S 2]{agol}", "Agol & Luger (2020, §2)"),
        (
            "\\citealt{agol} \\citeauthor{agol} \\citeyear{agol} \\citeyearpar{agol}",
            "Agol & Luger 2020 Agol & Luger 2020 (2020)",
        ),
        ("\\cite{aguer}", "Agüer (1999)"),
        (
            "\\parencite{agol} \\textcite{agol} \\autocite[4]{agol}",
            "(Agol & Luger 2020) Agol & Luger (2020) (Agol & Luger 2020, 4)",
        ),
        ("\\citep{lost}", "[lost]"),
    ],
)
def test_citations_from_bbl(read: Reader, latex: str, markdown: str) -> None:
    assert read(latex, "\\usepackage{natbib}", main__bbl=BBL).text == markdown + "\n"


def test_citations_from_an_inline_list_and_their_counts(read: Reader) -> None:
    result = read("\\citep{agol,agol,lost}\n\n" + BBL)
    assert result.text == "(Agol & Luger 2020, 2020; [lost])\n"
    assert (result.counts["citations"], result.counts["citations_resolved"]) == (3, 2)


def test_citations_from_bib(read: Reader) -> None:
    bib = (
        '@string{j = "J. Odd {\\"O}"}\n@comment{x, author={No}}\n@article{a, author = {de Mink, S. E. and {Gaia Collaboration} and Fred Bo}, year = 2020}\n'
        '@book{b,\n author = "K{\\"o}nig, A. and others", journal = j # { x }, date = {1999-02}}\n@misc{c, title={No, author={x}}, author={{The X Team}}, year={2001}}'
    )
    result = read("\\citet{a} \\citep{b} \\citep{c}\\bibliography{refs}", refs__bib=bib)
    assert result.text == "de Mink et al. (2020) (König et al. 1999) (The X Team 2001)\n"


def test_citations_from_biblatex() -> None:
    bbl = (
        "\\entry{k}{article}{}\n\\name{author}{2}{}{%\n{{hash=1}{%\nfamily={Smith},\nfamilyi={S\\bibinitperiod},\ngiven={John}}}%\n"
        "{{hash=2}{family={Jones}}}%\n}\n\\name{editor}{1}{}{{{}{family={No}}}}\n\\field{year}{2010}\n\\field{extradate}{2}\n\\endentry"
    )
    entry = parse_biblatex(bbl, {"k"})["k"]
    assert (entry.surnames, entry.year) == (["Smith", "Jones"], "2010b")


@pytest.mark.parametrize(
    ("entry", "authors", "year"),
    [
        ("Smith, J., Jones, B., & Lee, C. 2001, ApJ, 12, 3", "Smith et al.", "2001"),
        ("J. Smith and B. Jones, Phys. Rev. D 12, 4 (1998).", "Smith & Jones", "1998"),
        ("B. P. Abbott et al. (LIGO), Phys. Rev. Lett. 116 (2016)", "Abbott et al.", "2016"),
    ],
)
def test_authors_read_off_an_entry(entry: str, authors: str, year: str) -> None:
    found = from_entry(entry)
    assert found is not None
    assert (found.authors, found.year) == (authors, year)


def test_bibtex_names() -> None:
    assert split_names("John von Neumann and {ESO and NASA} and Bo, C. and others") == (
        ["von Neumann", "{ESO and NASA}", "Bo"],
        True,
    )
    assert short_form(["A", "B"]) == "A & B"
    assert parse_bib("@article{x, author={A}, year={1}", {"x"})["x"].surnames == ["A"]


def test_aliases(read: Reader) -> None:
    assert read("\\defcitealias{a}{GW10}\\citetalias{a} \\citepalias[see][]{a}").text == "GW10 (see GW10)\n"


# ---- the field's data ----


def test_astronomy_macros_come_from_data(read: Reader) -> None:
    text = read(
        "\\ion{H}{ii} \\object{M31} \\apj 3\\arcsec{} 20\\kms{} $5\\,\\kms \\lesssim x$ \\lesssim",
        document_class="aastex631",
    ).text
    assert text == "H II M31 ApJ3″ 20km s$^{-1}$ $5\\,\\mathrm{km\\,s^{-1}} \\lesssim x$ ≲\n"
    code = "".join(path.read_text() for path in Path(read_latex.__code__.co_filename).parent.glob("latex*.py"))
    assert not any(
        f'{name}"' in code or f"\\\\{name} " in code for name in ("mnras", "lesssim", "apj", "object", "arcsec")
    )


# ---- the scanner ----


def test_scanner() -> None:
    assert scan("a\\b c{%x\n  d}\n\n$$e") == ["a", "\\b", " ", "c", "{", "d", "}", PAR, "$$", "e"]
    assert scan("\\a@b") == ["\\a", "@b"]
    assert scan("\\makeatletter\\a@b\\makeatother\\a@b")[:1] == ["\\a@b"]
    assert scan("\\verb+%$+\x00\x01") == [RAW + "c%$"]
    assert scan("% \\begin{verbatim}\nx") == ["x"]
    assert source_of(["\\alpha", "b", "\\,", "c"]) == "\\alpha b\\,c"


# ---- golden ----


def test_golden_paper() -> None:
    result = read_latex(GOLDEN / "paper" / "main.tex", GOLDEN / "paper")
    assert result.text == (GOLDEN / "paper.md").read_text(encoding="utf-8")
    assert result.counts["kept_verbatim"] == 0
    assert result.counts["citations"] == result.counts["citations_resolved"] > 5


# ---- real documents ----


def test_examples_leave_no_commands() -> None:
    folders = sorted(
        path.parent for path in (Path(__file__).parents[3] / "examples" / "astronomy").glob("*/*/main.tex")
    )
    assert len(folders) >= 10
    for folder in folders:
        result = read_latex(folder / "main.tex", folder)
        num_commands, num_words = left_over(result.text)
        assert num_commands == 0, folder
        assert num_words > 500
        assert result.counts["citations_resolved"] == result.counts["citations"], folder
        assert result.counts["references_resolved"] == result.counts["references"], folder
        assert "??" not in result.text
