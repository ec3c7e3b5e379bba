// What a browser has and jsdom has not: sizes, media queries, scrolling.
import { configure } from "@testing-library/dom";
import { cleanup } from "@testing-library/svelte";
import { afterEach, beforeEach } from "vitest";
import { speak } from "~/language.svelte";

const VIEW = 600;
const ROW = 56;

function sizeOf(element: Element): { width: number; height: number } {
  const scrolls = element instanceof HTMLElement && /auto|scroll/u.test(element.style.overflowY);
  return { width: 400, height: scrolls || element.matches("[data-testid=timeline]") ? VIEW : ROW };
}

class MeasuredOnce implements ResizeObserver {
  constructor(private readonly told: ResizeObserverCallback) {}
  observe(target: Element): void {
    queueMicrotask(() => {
      if (!target.isConnected) return;
      const { width, height } = sizeOf(target);
      const contentRect = new DOMRect(0, 0, width, height);
      const size = [{ inlineSize: width, blockSize: height }];
      const entry = { target, contentRect, borderBoxSize: size, contentBoxSize: size, devicePixelContentBoxSize: size };
      this.told([entry], this);
    });
  }
  unobserve(): void {}
  disconnect(): void {}
}

globalThis.DOMRect ??= class {
  constructor(
    public x = 0,
    public y = 0,
    public width = 0,
    public height = 0,
  ) {}
  get top() {
    return this.y;
  }
  get left() {
    return this.x;
  }
  get right() {
    return this.x + this.width;
  }
  get bottom() {
    return this.y + this.height;
  }
} as unknown as typeof DOMRect;
globalThis.ResizeObserver = MeasuredOnce;
Object.defineProperty(HTMLElement.prototype, "offsetParent", {
  configurable: true,
  get(this: HTMLElement) {
    return this.parentElement;
  },
});
for (const side of ["offsetHeight", "clientHeight"]) {
  Object.defineProperty(HTMLElement.prototype, side, {
    configurable: true,
    get(this: HTMLElement) {
      return sizeOf(this).height;
    },
  });
}
// A failure says what was missing, not the whole page.
configure({ getElementError: (message) => new Error(message ?? "not found") });
globalThis.CSS ??= { escape: (text: string) => text.replace(/["\\]/gu, "\\$&") } as typeof CSS;
Element.prototype.scrollIntoView = () => {};
// A place that is scrolled says so, as in a browser.
const scrolled = new WeakMap<Element, number>();
Object.defineProperty(Element.prototype, "scrollTop", {
  configurable: true,
  get(this: Element) {
    return scrolled.get(this) ?? 0;
  },
  set(this: Element, to: number) {
    if (scrolled.get(this) === to) return;
    scrolled.set(this, Math.max(0, to));
    queueMicrotask(() => this.dispatchEvent(new Event("scroll")));
  },
});
Element.prototype.scrollTo = function scrollTo(this: Element, to?: ScrollToOptions | number, y?: number) {
  this.scrollTop = typeof to === "object" ? (to.top ?? this.scrollTop) : (y ?? 0);
};
Element.prototype.scrollBy = function scrollBy(this: Element, by?: ScrollToOptions | number, y?: number) {
  this.scrollTop += typeof by === "object" ? (by.top ?? 0) : (y ?? 0);
};
Element.prototype.animate ??= () => ({ cancel() {}, finished: Promise.resolve(), onfinish: null }) as unknown as Animation;
URL.createObjectURL ??= () => "blob:test";
URL.revokeObjectURL ??= () => {};
document.hasFocus = () => true;
globalThis.matchMedia = (media: string) =>
  ({ matches: false, media, addEventListener() {}, removeEventListener() {} }) as unknown as MediaQueryList;

beforeEach(() => {
  localStorage.clear();
  speak("fr");
});
afterEach(() => cleanup());
