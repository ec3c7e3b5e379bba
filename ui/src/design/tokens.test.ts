import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { accentTokens, contrast, paintAccent, parse } from "./accent";
import { faceColour, initials } from "./face";

const css = readFileSync("src/design/tokens.css", "utf8");

function theme(name: "light" | "dark" | "contrast"): Record<string, string> {
  const read = (selector: string) => {
    const block = css.slice(css.indexOf(`${selector} {`));
    const body = block.slice(0, block.indexOf("\n}"));
    return Object.fromEntries([...body.matchAll(/(--[\w-]+):\s*([^;]+);/gu)].map((found) => [found[1], found[2]]));
  };
  return name === "light" ? read(":root") : { ...read(":root"), ...read(`[data-theme="${name}"]`) };
}

/** Words on grounds: 4.5:1, in high contrast 7:1 (WCAG 2.2, 1.4.3 and 1.4.6). */
const pairs: [ink: string, ground: string][] = [
  ...["--ink", "--ink-2", "--ink-3"].flatMap((ink) =>
    ["--ground", "--surface", "--raised", "--sunken", "--hover"].map((ground): [string, string] => [ink, ground]),
  ),
  ["--ink-2", "--accent-soft"],
  ["--ink", "--accent-soft"],
  ["--ink", "--wait-soft"],
  ["--ink", "--bad-soft"],
  ["--accent-ink", "--accent"],
  ["--accent-ink", "--accent-hover"],
  ["--accent-text", "--surface"],
  ["--accent-text", "--accent-soft"],
  ["--ok", "--surface"],
  ["--ok", "--ok-soft"],
  ["--wait", "--surface"],
  ["--wait", "--hover"],
  ["--wait", "--wait-soft"],
  ["--bad", "--surface"],
  ["--bad", "--bad-soft"],
  ["--new", "--surface"],
  ["--rail-ink", "--rail"],
  ["--rail-on", "--rail-sel"],
  ["--rail-on", "--rail-hover"],
  ["--rail-ok", "--rail"],
  ["--rail-wait", "--rail-sel"],
  ["--rail-bad", "--rail"],
  ["--unread-ink", "--unread"],
  ...Array.from({ length: 8 }, (_, at): [string, string] => ["--face-ink", `--face-${at}`]),
];

describe.each(["light", "dark", "contrast"] as const)("the %s theme", (name) => {
  const tokens = theme(name);
  const needed = name === "contrast" ? 7 : 4.5;
  it.each(pairs)("keeps %s readable on %s", (ink, ground) => {
    const [one, other] = [parse(tokens[ink] ?? ""), parse(tokens[ground] ?? "")];
    expect(one && other && contrast(one, other)).toBeGreaterThanOrEqual(needed);
  });

  it("shows the edge of fields and switches at 3:1", () => {
    const [line, surface] = [parse(tokens["--line-strong"] ?? ""), parse(tokens["--surface"] ?? "")];
    expect(line && surface && contrast(line, surface)).toBeGreaterThanOrEqual(3);
  });
});

describe("the organisation's accent", () => {
  it.each(["#ffe600", "#ff00aa", "#000000", "#ffffff", "#7cc576"])("stays readable when it is %s", (colour) => {
    for (const name of ["light", "dark"] as const) {
      const tokens = accentTokens(colour, name);
      const rgb = (token: string) => parse((tokens as Record<string, string> | null)?.[token] ?? "") ?? [0, 0, 0];
      expect(contrast(rgb("--accent-ink"), rgb("--accent"))).toBeGreaterThanOrEqual(4.5);
      expect(contrast(rgb("--accent-text"), rgb("--accent-soft"))).toBeGreaterThanOrEqual(4.5);
    }
  });

  it("is left aside in high contrast and when it is no colour", () => {
    expect(accentTokens("#ffe600", "contrast")).toBeNull();
    expect(accentTokens("red; } body { display: none", "light")).toBeNull();
    paintAccent("#8f3b5b", "light");
    expect(document.documentElement.style.getPropertyValue("--accent")).not.toBe("");
    paintAccent(null, "light");
    expect(document.documentElement.style.getPropertyValue("--accent")).toBe("");
  });
});

describe("faces", () => {
  it.each([
    ["Dr Marie Leroy", "ML"],
    ["Camille Martin", "CM"],
    ["Jean-Pierre", "JP"],
    ["élise", "É"],
    ["Dr", "D"],
    ["", "?"],
    ["\u202e\u200b", "?"],
    ["👩‍⚕️ Ana", "A"],
  ])("shows %s as %s", (name, letters) => {
    expect(initials(name)).toBe(letters);
  });

  it("keeps one colour for one person", () => {
    expect(faceColour("@a:b")).toBe(faceColour("@a:b"));
    expect(faceColour("@a:b")).toMatch(/^var\(--face-[0-7]\)$/u);
  });
});
