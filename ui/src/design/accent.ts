// The organisation may set one accent colour. It is used only in a lightness that stays readable.

type Rgb = readonly [number, number, number];
type Theme = "light" | "dark" | "contrast";

const NAMES = ["--accent", "--accent-hover", "--accent-ink", "--accent-soft", "--accent-text", "--focus"] as const;

/** Sets the accent on the document; `null` or an unusable colour restores the design's own. */
export function paintAccent(colour: string | null, theme: Theme): void {
  const style = document.documentElement.style;
  const tokens = accentTokens(colour, theme);
  for (const name of NAMES) {
    if (tokens === null) style.removeProperty(name);
    else style.setProperty(name, tokens[name]);
  }
}

/** High contrast keeps its own accent: it must reach 7:1 whatever the organisation likes. */
export function accentTokens(colour: string | null, theme: Theme): Record<(typeof NAMES)[number], string> | null {
  const wanted = colour === null ? null : parse(colour);
  if (wanted === null || theme === "contrast") return null;
  const surface: Rgb = theme === "light" ? [255, 255, 255] : [20, 29, 37];
  const away: Rgb = theme === "light" ? [0, 0, 0] : [255, 255, 255];
  const soft = mix(surface, wanted, theme === "light" ? 0.12 : 0.22);
  const accent = until(wanted, away, (candidate) => contrast(candidate, surface) >= 4.5);
  const text = until(accent, away, (candidate) => contrast(candidate, soft) >= 4.6 && contrast(candidate, surface) >= 4.6);
  const ink: Rgb = contrast([255, 255, 255], accent) >= 4.5 ? [255, 255, 255] : [8, 18, 24];
  return {
    "--accent": hex(accent),
    "--accent-hover": hex(mix(accent, away, 0.12)),
    "--accent-ink": hex(ink),
    "--accent-soft": hex(soft),
    "--accent-text": hex(text),
    "--focus": hex(text),
  };
}

/** WCAG 2.2 contrast ratio of two opaque colours, 1 to 21. */
export function contrast(one: Rgb, other: Rgb): number {
  const [light, dark] = [luminance(one), luminance(other)].toSorted((a, b) => b - a) as [number, number];
  return (light + 0.05) / (dark + 0.05);
}

export function parse(colour: string): Rgb | null {
  const found = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/iu.exec(colour.trim());
  if (found === null) return null;
  return [1, 2, 3].map((at) => Number.parseInt(found[at] ?? "0", 16)) as unknown as Rgb;
}

function luminance(colour: Rgb): number {
  const [red, green, blue] = colour.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function until(from: Rgb, towards: Rgb, enough: (colour: Rgb) => boolean): Rgb {
  for (let share = 0; share < 1; share += 0.04) {
    const candidate = mix(from, towards, share);
    if (enough(candidate)) return candidate;
  }
  return towards;
}

function mix(from: Rgb, to: Rgb, share: number): Rgb {
  return from.map((part, at) => Math.round(part + ((to[at] ?? 0) - part) * share)) as unknown as Rgb;
}

function hex(colour: Rgb): string {
  return `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}
