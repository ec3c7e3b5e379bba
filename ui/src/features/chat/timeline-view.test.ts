import { flushSync, tick } from "svelte";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Item } from "~/backend/backend";
import { message, said } from "~/backend/fake/conversations";
import { author } from "~/backend/fake/people";
import { expectAccessible } from "~/test/axe";
import { allById, byId, onStage, quickBackend } from "~/test/stage";
import TimelineView from "./TimelineView.svelte";
import { Timeline } from "./timeline.svelte";

const VIEW = 600;
const ROW = 50;

/** A browser measures when it gets to it, on a busy computer long after the list was filled. */
class Browser {
  #observers: { told: ResizeObserverCallback; targets: Set<Element> }[] = [];

  constructor() {
    const observers = this.#observers;
    vi.stubGlobal(
      "ResizeObserver",
      class implements ResizeObserver {
        readonly #own: { told: ResizeObserverCallback; targets: Set<Element> };
        constructor(told: ResizeObserverCallback) {
          observers.push((this.#own = { told, targets: new Set() }));
        }
        observe(target: Element): void {
          this.#own.targets.add(target);
        }
        unobserve(target: Element): void {
          this.#own.targets.delete(target);
        }
        disconnect(): void {
          this.#own.targets.clear();
        }
      },
    );
    // What fits into the view cannot be scrolled, and then nothing tells of scrolling either.
    vi.spyOn(Element.prototype, "scrollTo").mockImplementation(() => {});
    vi.spyOn(Element.prototype, "scrollBy").mockImplementation(() => {});
  }

  async measure(): Promise<void> {
    for (const { told, targets } of this.#observers) {
      const entries = [...targets].map((target) => {
        const height = target.matches("[data-testid=timeline]") ? VIEW : ROW;
        return { target, contentRect: new DOMRect(0, 0, 400, height) } as unknown as ResizeObserverEntry;
      });
      targets.clear();
      if (entries.length > 0) told(entries, {} as ResizeObserver);
    }
    flushSync();
    await tick();
  }
}

async function settled(): Promise<void> {
  flushSync();
  for (let turn = 0; turn < 4; turn += 1) await tick();
}

function line(text: string): Item {
  return message(author("Amina Kaddour"), 0, said(text));
}

describe("the list of messages", () => {
  let browser: Browser;
  let timeline: Timeline;
  beforeEach(() => {
    browser = new Browser();
    timeline = new Timeline(quickBackend(), "!here:saint-elme.example");
  });
  afterEach(() => vi.unstubAllGlobals());

  function open() {
    onStage(TimelineView, { timeline, room: undefined, onreply: undefined, onenlarge: () => {}, onleave: () => {} });
    return settled();
  }

  it("draws what was filled in from above before the browser measured anything", async () => {
    const waiting = line("En attente");
    timeline.items = [waiting];
    await open();
    timeline.grewAbove = true;
    timeline.items = [line("Avant-hier"), line("Hier"), waiting];
    await settled();
    await browser.measure();
    await browser.measure();
    expect(allById("message-text").map((text) => text.textContent?.trim())).toEqual(["Avant-hier", "Hier", "En attente"]);
    expect(byId("timeline").querySelectorAll("[style*='visibility']").length).toBe(0);
    await expectAccessible();
  });
});
