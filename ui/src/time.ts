// Times, dates and sizes as people read them, in the language of the screen.
import { language } from "~/language.svelte";
import { m } from "~/paraglide/messages";

const DAY = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function format(at: number, name: string, options: Intl.DateTimeFormatOptions): string {
  const key = `${language.current} ${name}`;
  let known = formats.get(key);
  if (known === undefined) {
    known = new Intl.DateTimeFormat(language.current === "en" ? "en-GB" : language.current, options);
    formats.set(key, known);
  }
  return known.format(at);
}

export function clock(at: number): string {
  return format(at, "clock", { hour: "2-digit", minute: "2-digit" });
}

/** Whole days between two moments as the calendar counts them here. */
export function daysBetween(from: number, to: number): number {
  return Math.round((midnight(to) - midnight(from)) / DAY);
}

/** Short enough for a list: 09:42, hier, ven., 12 nov., 12/11/2025. */
export function shortWhen(at: number, now: number): string {
  const days = daysBetween(at, now);
  if (days <= 0) return clock(at);
  if (days === 1) return m.time_yesterday_short();
  if (days < 7) return format(at, "weekday", { weekday: "short" });
  if (sameYear(at, now)) return format(at, "day", { day: "numeric", month: "short" });
  return format(at, "date", { day: "2-digit", month: "2-digit", year: "numeric" });
}

/** A line between days: Aujourd’hui, Hier, Mardi 24 novembre. */
export function dayName(at: number, now: number): string {
  const days = daysBetween(at, now);
  if (days === 0) return m.time_today();
  if (days === 1) return m.time_yesterday();
  return fullDay(at, now);
}

/** Mardi 24 novembre, with the year when it is another one. */
export function fullDay(at: number, now: number): string {
  const year = sameYear(at, now) ? undefined : ("numeric" as const);
  const options = { weekday: "long", day: "numeric", month: "long", ...(year && { year }) } as const;
  return capital(format(at, year ? "full-year" : "full", options));
}

/** The whole moment, for a tooltip. */
export function moment(at: number): string {
  return capital(format(at, "moment", { dateStyle: "full", timeStyle: "short" }));
}

/** When something began: 08:02 today, otherwise with its day. */
export function since(at: number, now: number): string {
  return daysBetween(at, now) === 0 ? clock(at) : `${shortWhen(at, now)} ${clock(at)}`;
}

/** il y a 4 s, il y a 12 min, il y a 3 h, hier. */
export function ago(at: number, now: number): string {
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 60) return m.time_ago_seconds({ value: seconds });
  if (seconds < 3600) return m.time_ago_minutes({ value: Math.floor(seconds / 60) });
  if (seconds < 86_400) return m.time_ago_hours({ value: Math.floor(seconds / 3600) });
  return shortWhen(at, now);
}

/** Time left until `at`: 12 s, 3 min. Never negative. */
export function left(at: number, now: number): string {
  const seconds = Math.max(0, Math.ceil((at - now) / 1000));
  if (seconds < 60) return m.time_seconds({ value: seconds });
  return m.time_minutes({ value: Math.ceil(seconds / 60) });
}

export function fileSize(bytes: number): string {
  const units = m.file_units().split(" ");
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const digits = value < 10 && unit > 0 ? 1 : 0;
  const number = new Intl.NumberFormat(language.current, { maximumFractionDigits: digits }).format(value);
  return `${number} ${units[unit]}`;
}

function midnight(at: number): number {
  const day = new Date(at);
  return new Date(day.getFullYear(), day.getMonth(), day.getDate()).getTime();
}

function sameYear(one: number, other: number): boolean {
  return new Date(one).getFullYear() === new Date(other).getFullYear();
}

function capital(text: string): string {
  return text.charAt(0).toLocaleUpperCase(language.current) + text.slice(1);
}
