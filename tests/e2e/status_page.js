// Returns a list of accessibility problems of the page.
const problems = [];
const all = (selector) => [...document.querySelectorAll(selector)];
const check = (good, problem) => { if (!good) problems.push(problem); };

check(document.documentElement.lang === "en", "the page has no language");
check(document.title.trim() !== "", "the page has no title");
for (const one of ["h1", "main", "body > header", "body > footer", "nav[aria-label]"]) {
  check(all(one).length === 1, `there is not exactly one ${one}`);
}
let level = 0;
for (const heading of all("h1, h2, h3, h4, h5, h6")) {
  const next = Number(heading.tagName[1]);
  check(next <= level + 1, `${heading.textContent} skips a level`);
  check(heading.textContent.trim() !== "", "a heading is empty");
  level = next;
}
for (const part of all("body > *")) {
  check(part.matches("header, main, footer"), `${part.tagName} is outside all landmarks`);
}
for (const cell of all("th")) check(cell.scope !== "", `${cell.textContent} has no scope`);
for (const table of all("table")) check(table.caption !== null, "a table has no caption");
for (const bar of all("svg, meter, progress")) {
  check((bar.getAttribute("aria-label") || "") !== "", "a bar has no label");
  check(bar.getAttribute("role") === "img", "a bar has not the role of an image");
}
for (const article of all("article")) check(article.querySelector("h3") !== null, "a card has no name");
for (const list of all("dl")) {
  check(list.querySelectorAll("dt").length === list.querySelectorAll("dd").length, "a list has a term without a description");
}
for (const link of all("a")) {
  check(link.textContent.trim() !== "", "a link has no text");
  if (link.getClientRects().length === 0) continue; // Hidden in print.
  link.focus({focusVisible: true});
  const style = getComputedStyle(link);
  check(document.activeElement === link, `${link.textContent} cannot be focused`);
  check(style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2, `the focus on ${link.textContent} is not visible`);
}
document.activeElement.blur();
const ids = all("[id]").map((element) => element.id);
check(new Set(ids).size === ids.length, "an id is used twice");
check(all("script, style ~ style, [style], img, iframe, object, embed, form, link").length === 0, "the page has elements besides text and one style");

const colour = (text) => {
  const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
  return {channels: [r, g, b], a};
};
const luminance = ({channels}) => {
  const [r, g, b] = channels.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at !== null; at = at.parentElement) {
    const found = colour(getComputedStyle(at).backgroundColor);
    if (found.a === 1) return found;
    check(found.a === 0, `the background of ${element.textContent} is translucent`);
  }
  problems.push("the page has no background");
  return colour("rgb(255, 255, 255)");
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
let seen = 0;
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement;
  if (texts.currentNode.data.trim() === "" || element.closest("svg") !== null) continue;
  seen += 1;
  const [dark, light] = [colour(getComputedStyle(element).color), behind(element)].map(luminance).sort((a, b) => a - b);
  const contrast = (light + 0.05) / (dark + 0.05);
  check(contrast >= 4.5, `"${texts.currentNode.data.trim()}" has a contrast of ${contrast.toFixed(2)}`);
}
check(seen > 20, "the page has hardly any text");
return problems;
