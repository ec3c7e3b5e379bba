import { describe, expect, it } from "vitest";
import { speak } from "~/language.svelte";
import { ago, clock, dayName, daysBetween, fileSize, left, shortWhen, since } from "./time";

const NOW = new Date(2026, 10, 24, 10, 15).getTime();
const DAY = 86_400_000;

describe("times", () => {
  it("are short in a list", () => {
    expect(shortWhen(NOW - 3_600_000, NOW)).toBe("09:15");
    expect(shortWhen(NOW - DAY, NOW)).toBe("hier");
    expect(shortWhen(NOW - 4 * DAY, NOW)).toBe("ven.");
    expect(shortWhen(NOW - 40 * DAY, NOW)).toBe("15 oct.");
    expect(shortWhen(NOW - 400 * DAY, NOW)).toBe("20/10/2025");
  });

  it("name the day as the calendar does, not by hours", () => {
    expect(dayName(new Date(2026, 10, 23, 23, 59).getTime(), NOW)).toBe("Hier");
    expect(dayName(NOW, NOW)).toBe("Aujourd’hui");
    expect(dayName(NOW - 7 * DAY, NOW)).toBe("Mardi 17 novembre");
    expect(dayName(NOW - 400 * DAY, NOW)).toContain("2025");
  });

  it("count calendar days over the change of hour", () => {
    expect(daysBetween(new Date(2026, 9, 24, 12).getTime(), new Date(2026, 9, 26, 12).getTime())).toBe(2);
  });

  it("say how long ago and how long still", () => {
    expect(ago(NOW - 4000, NOW)).toBe("il y a 4 s");
    expect(ago(NOW - 12 * 60_000, NOW)).toBe("il y a 12 min");
    expect(ago(NOW + 5000, NOW)).toBe("il y a 0 s");
    expect(left(NOW + 11_200, NOW)).toBe("12 s");
    expect(left(NOW - 5, NOW)).toBe("0 s");
    expect(left(NOW + 90_000, NOW)).toBe("2 min");
    expect(since(NOW - DAY, NOW)).toBe("hier 10:15");
  });

  it("follow the language", () => {
    speak("nl-BE");
    expect(dayName(NOW - 7 * DAY, NOW)).toBe("Dinsdag 17 november");
    speak("en");
    expect(shortWhen(NOW - DAY, NOW)).toBe("yesterday");
    expect(clock(NOW)).toBe("10:15");
    expect(document.documentElement.lang).toBe("en");
    speak("xx");
    expect(document.documentElement.lang).toBe("fr");
  });
});

describe("file sizes", () => {
  it("are rounded as people say them", () => {
    expect(fileSize(812)).toBe("812 o");
    expect(fileSize(184_320)).toBe("184 ko");
    expect(fileSize(1_204_000)).toBe("1,2 Mo");
  });
});
