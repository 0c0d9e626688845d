import pytest
from lxml import etree

from sagecraft.corpus.readers.mathml import tidy_tex, to_latex


def latex(body, attributes=""):
    return to_latex(etree.fromstring(f'<math xmlns="http://www.w3.org/1998/Math/MathML" {attributes}>{body}</math>'))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<mi>x</mi>", "x"),
        ("<mi>α</mi><mi>Ω</mi>", r"\alpha\Omega"),
        ("<mi>sin</mi><mi>θ</mi>", r"\sin \theta"),
        ("<mi>max</mi>", r"\max"),
        ("<mi>rms</mi>", r"\mathrm{rms}"),
        ("<mn>1,000</mn>", "1,000"),
        ("<mn>−2</mn>", "-2"),
        ("<mi>a</mi><mo>≤</mo><mi>b</mi>", r"a \leq b"),
        ("<mi>a</mi><mo>&#x2062;</mo><mi>b</mi>", "ab"),
        ("<mfrac><mn>1</mn><mn>2</mn></mfrac>", r"\frac{1}{2}"),
        ('<mfrac linethickness="0"><mi>n</mi><mi>k</mi></mfrac>', r"\binom{n}{k}"),
        ('<mfrac bevelled="true"><mi>a</mi><mi>b</mi></mfrac>', "a/b"),
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^{2}"),
        ("<msup><mi>x</mi><mo>′</mo></msup>", r"x^{\prime}"),
        ("<msup><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></msup>", "{a+b}^{2}"),
        ("<msup><mrow><mo>(</mo><mi>a</mi><mo>)</mo></mrow><mn>2</mn></msup>", "(a)^{2}"),
        ("<msup><mn>45</mn><mo>°</mo></msup>", r"45^{\circ}"),
        ("<mn>45</mn><mtext>°</mtext>", r"45^{\circ}"),
        ("<msub><mi>M</mi><mo>☉</mo></msub>", r"M_{\odot}"),
        ("<msubsup><mi>v</mi><mn>0</mn><mn>2</mn></msubsup>", "v_{0}^{2}"),
        ("<msubsup><mrow/><mn>1</mn><mn>2</mn></msubsup><mtext>H</mtext>", r"{}_{1}^{2}\text{H}"),
        ("<msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt>", r"\sqrt{x+1}"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
        ('<mover accent="true"><mi>v</mi><mo>→</mo></mover>', r"\vec{v}"),
        ("<mover><mi>AB</mi><mo>→</mo></mover>", r"\overrightarrow{\mathrm{AB}}"),
        ("<mover><mi>x</mi><mo>¯</mo></mover>", r"\bar{x}"),
        ("<mover><mi>x</mi><mo>^</mo></mover>", r"\hat{x}"),
        ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>", r"\lim_{x \to 0}"),
        ("<munderover><mo>∑</mo><mi>i</mi><mi>n</mi></munderover>", r"\sum_{i}^{n}"),
        ("<munder><mi>A</mi><mi>k</mi></munder>", r"\underset{k}{A}"),
        ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a, b)"),
        ('<mfenced open="|" close="|"><mi>a</mi></mfenced>', "|a|"),
        (
            "<mrow><mo>(</mo><mfrac><mi>a</mi><mi>b</mi></mfrac><mo>)</mo></mrow>",
            r"\left( \frac{a}{b} \right)",
        ),
        ("<mn>5</mn><mspace width='0.2em'/><mtext>m</mtext><mtext>/</mtext><mtext>s</mtext>", r"5\,\text{m}/\text{s}"),
        ("<mn>5</mn><mspace width='0.2em'/><mo>×</mo><mspace width='0.2em'/><mn>3</mn>", r"5 \times 3"),
        ("<mi>a</mi><mspace width='1em'/><mi>b</mi>", r"a\quad b"),
        ("<mtext>50 % of $</mtext>", r"\text{50 \% of \$}"),
        ("<mtext>m</mtext><mtext> per s</mtext>", r"\text{m per s}"),
        ('<mstyle mathvariant="bold"><mi>B</mi></mstyle>', r"\mathbf{B}"),
        ('<mstyle mathvariant="bold"><mover><mi>B</mi><mo>→</mo></mover></mstyle>', r"\vec{\mathbf{B}}"),
        ('<mi mathvariant="bold">ω</mi>', r"\boldsymbol{\omega}"),
        ('<mi mathvariant="script">L</mi>', r"\mathcal{L}"),
        ("<mi>ℏ</mi>", r"\hbar"),
        ("<mi>𝐁</mi>", r"\mathbf{B}"),
        ('<menclose notation="updiagonalstrike"><mtext>km</mtext></menclose>', r"\cancel{\text{km}}"),
        ("<mphantom><mi>x</mi></mphantom><mi>y</mi>", "y"),
        ("<mmultiscripts><mi>C</mi><none/><none/><mprescripts/><mn>6</mn><mn>12</mn></mmultiscripts>", "{}_{6}^{12}C"),
        ("", ""),
        ("<unknown><mi>q</mi></unknown>", "q"),
    ],
)
def test_elements(body, expected):
    assert latex(body) == expected


def test_tables():
    row = "<mtr><mtd><mi>{}</mi></mtd><mtd><mi>{}</mi></mtd></mtr>"
    table = f"<mtable>{row.format('a', 'b')}{row.format('c', 'd')}</mtable>"
    assert latex(table) == r"\begin{array}{cc} a & b \\ c & d \end{array}"
    assert latex(f"<mrow><mo>(</mo>{table}<mo>)</mo></mrow>") == r"\begin{pmatrix} a & b \\ c & d \end{pmatrix}"
    assert latex(f"<mrow><mo>{{</mo>{table}</mrow>") == r"\begin{cases} a & b \\ c & d \end{cases}"
    assert latex(f'<mfenced open="[" close="]">{table}</mfenced>') == r"\begin{bmatrix} a & b \\ c & d \end{bmatrix}"


def test_aligned_equations():
    rows = "".join(
        f'<mtr><mtd columnalign="right"><mi>{left}</mi></mtd><mtd><mo>=</mo></mtd><mtd><mn>1</mn></mtd></mtr>'
        for left in "xy"
    )
    assert latex(f"<mtable><mtr><mtd/></mtr>{rows}</mtable>") == r"\begin{aligned} x & = 1 \\ y & = 1 \end{aligned}"


def test_the_authors_tex_is_preferred():
    body = '<semantics><mi>x</mi><annotation encoding="application/x-tex">{\\displaystyle \\frac{a}{b}}</annotation></semantics>'
    assert latex(body) == r"\frac{a}{b}"
    assert latex("<mi>x</mi>", r'alttext="\mathbf{x}"') == r"\mathbf{x}"


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("$x$", "x"),
        (r"\(x\)", "x"),
        (r"{\displaystyle {\frac{a}{b}}}", r"{\frac{a}{b}}"),
        (r"{\displaystyle a} + {b}", r"{\displaystyle a} + {b}"),
        ("a%\n b", "ab"),
        (r"5\% x", r"5\% x"),
    ],
)
def test_wrappings_go(tex, expected):
    assert tidy_tex(tex) == expected


def test_deep_nesting_ends():
    assert latex("<mrow>" * 200 + "<mi>x</mi>" + "</mrow>" * 200) == r"\text{x}"


def apply(head, *arguments):
    return f"<apply><{head}/>{''.join(arguments)}</apply>"


X, Y, TWO = "<ci>x</ci>", "<ci>y</ci>", "<cn>2</cn>"
BVAR = f"<bvar>{X}</bvar>"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (apply("eq", "<ci>E</ci>", apply("times", "<ci>m</ci>", apply("power", "<ci>c</ci>", TWO))), "E = m c^{2}"),
        (apply("times", apply("plus", X, Y), TWO), r"\left( x+y \right) \cdot 2"),
        (apply("minus", X, apply("minus", Y, TWO)), r"x-\left( y-2 \right)"),
        (apply("minus", X), "-x"),
        (apply("divide", X, apply("plus", Y, TWO)), r"\frac{x}{y+2}"),
        (apply("power", apply("plus", X, Y), TWO), r"\left( x+y \right)^{2}"),
        (apply("root", f"<degree>{TWO}</degree>", X), r"\sqrt{x}"),
        (apply("root", "<degree><cn>3</cn></degree>", X), r"\sqrt[3]{x}"),
        (apply("sin", X), r"\sin x"),
        (apply("sin", apply("plus", X, Y)), r"\sin \left( x+y \right)"),
        (apply("log", f"<logbase>{TWO}</logbase>", X), r"\log_{2} x"),
        (f"<apply><ci>f</ci>{X}{Y}</apply>", "f(x, y)"),
        (apply("sum", BVAR, f"<lowlimit><cn>1</cn></lowlimit><uplimit>{Y}</uplimit>", X), r"\sum_{x = 1}^{y} x"),
        (
            apply("int", BVAR, "<lowlimit><cn>0</cn></lowlimit><uplimit><infinity/></uplimit>", X),
            r"\int_{0}^{\infty} x\,dx",
        ),
        (apply("limit", BVAR, "<lowlimit><cn>0</cn></lowlimit>", Y), r"\lim_{x \to 0} y"),
        (apply("diff", BVAR, Y), r"\frac{dy}{dx}"),
        (apply("partialdiff", f"<bvar>{X}<degree>{TWO}</degree></bvar>", Y), r"\frac{\partial^{2}y}{\partial x^{2}}"),
        (apply("partialdiff", BVAR, f"<bvar>{Y}</bvar>", "<ci>f</ci>"), r"\frac{\partial^{2}f}{\partial x\partial y}"),
        (apply("in", X, "<interval><cn>0</cn><cn>1</cn></interval>"), r"x \in [0, 1]"),
        (apply("abs", X), r"\left|x\right|"),
        (apply("factorial", apply("plus", X, TWO)), r"\left( x+2 \right)!"),
        ("<vector><cn>1</cn><cn>2</cn></vector>", r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}"),
        ("<matrix><matrixrow><cn>1</cn><cn>2</cn></matrixrow></matrix>", r"\begin{pmatrix} 1 & 2 \end{pmatrix}"),
        (
            f"<piecewise><piece>{X}{apply('gt', X, '<cn>0</cn>')}</piece><otherwise>{Y}</otherwise></piecewise>",
            r"\begin{cases} x & x > 0 \\ y & \text{otherwise} \end{cases}",
        ),
        ('<interval closure="closed-open"><cn>0</cn><cn>1</cn></interval>', "[0, 1)"),
        ('<cn type="e-notation">1.2<sep/>5</cn>', r"1.2 \times 10^{5}"),
        ("<ci><msub><mi>v</mi><mn>0</mn></msub></ci>", "v_{0}"),
        ("<ci>mass</ci><pi/>", r"\mathrm{mass}\pi"),
        (apply("frobnicate", X), r"\operatorname{frobnicate}(x)"),
    ],
)
def test_content_mathml(body, expected):
    assert latex(body) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<mn>Ψ</mn>", r"\Psi"),
        ("<mn>30</mn><msup><mrow><mspace width='0.2em'/><mtext>m</mtext></mrow><mn>2</mn></msup>", r"30\,\text{m}^{2}"),
        ("<mtable><mlabeledtr><mtd><mtext>(1)</mtext></mtd><mtd><mi>x</mi></mtd></mlabeledtr></mtable>", "x"),
        ("<maction><mi>a</mi><mi>b</mi></maction>", "a"),
        ("<semantics><mi>a</mi><annotation-xml><ci>b</ci></annotation-xml></semantics>", "a"),
    ],
)
def test_rare_elements(body, expected):
    assert latex(body) == expected


def test_environments_inside_dollar_signs():
    assert tidy_tex(r"\begin{equation}\label{a} x \end{equation}") == "x"
    assert tidy_tex(r"\begin{align*} a &= b \end{align*}") == r"\begin{aligned} a &= b \end{aligned}"
    assert tidy_tex(r"\begin{eqnarray} a &=& b \end{eqnarray}") == r"\begin{aligned} a & = b \end{aligned}"
