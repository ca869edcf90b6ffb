"""What on a page is hard to read, by the contrast of WCAG 2."""

LEAST = 4.5  # for AA, of text that is not large
_LIGHT = r"""([least]) => {
    const sheet = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
    const over = (colours) => { // painted one over the other, on white
        sheet.globalAlpha = 1;
        for (const [colour, alpha] of [['white', 1], ...colours]) {
            sheet.globalAlpha = alpha;
            sheet.fillStyle = colour;
            sheet.fillRect(0, 0, 1, 1);
        }
        const [r, g, b] = [...sheet.getImageData(0, 0, 1, 1).data].map((value) => {
            const share = value / 255;
            return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
        });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
    };
    const found = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const [words, part] = [texts.currentNode.textContent.trim(), texts.currentNode.parentElement];
        const shown = part.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
        const small = part.getBoundingClientRect().height < 2; // for screen readers alone
        if (!/[a-z]/i.test(words) || !shown || small || part.closest('style, script, :disabled')) continue;
        const [behind, alpha] = [[], { value: 1 }];
        for (let one = part; one; one = one.parentElement) {
            const { backgroundColor, opacity } = getComputedStyle(one);
            behind.unshift([backgroundColor, 1]);
            alpha.value *= Number(opacity);
        }
        const lights = [over(behind), over([...behind, [getComputedStyle(part).color, alpha.value]])];
        const contrast = Math.max(...lights) / Math.min(...lights);
        if (contrast < least) found.push(`${words.slice(0, 40)}: ${contrast.toFixed(2)}`);
    }
    return found;
}"""


def hard_to_read(page) -> list[str]:
    """Texts in sight, each with its contrast, that are hardly lighter or darker than what is behind them."""
    return page.evaluate(_LIGHT, [LEAST])
