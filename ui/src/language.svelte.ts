// The language of the screen. Rust decides it (settings, system); messages and dates follow.
import { locales, overwriteGetLocale, type Locale } from "~/paraglide/runtime";

let current = $state<Locale>("fr");
overwriteGetLocale(() => current);

export const language = {
  get current(): Locale {
    return current;
  },
};

/** `wanted` may carry a region ("nl-BE"); a language we do not speak falls back to French. */
export function speak(wanted: string): void {
  const base = wanted.slice(0, 2).toLowerCase();
  current = locales.find((known) => known === base) ?? "fr";
  document.documentElement.lang = current;
  document.documentElement.dir = "ltr";
}
