"""Names out of files are shown as text."""

import pytest

from pages.ui.literal import literal


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 'a/1.png', (8, 2) and 10 %", "plain 'a/1.png', (8, 2) and 10 %"),
        ("![x](//evil/x.png)", r"!\[x\](//evil/x.png)"),
        ("<img src=x>", r"\<img src=x\>"),
        (":red[x] :material/x: $x$ `x` *x*", r":red\[x\] :material/x: \$x\$ \`x\` \*x\*"),
        ("a\n\n# b\n- c", "a # b - c"),
        ("back\\[slash", "back\\\\\\[slash"),
        ("http://evil/ www.evil", "http:\u2060//evil/ www\u2060.evil"),
    ],
)
def test_nothing_in_a_name_is_markup(text, shown):
    assert literal(text) == shown
