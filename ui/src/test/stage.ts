import { render, waitFor } from "@testing-library/svelte";
import { createRawSnippet, type Component, type Snippet } from "svelte";
import { expect } from "vitest";
import App from "~/App.svelte";
import { FakeBackend } from "~/backend/fake";
import type { Desk } from "~/desk.svelte";
import Stage from "./Stage.svelte";

/** A quarter past ten on a Tuesday, so that greetings and times are always the same. */
export const NOW = new Date(2026, 10, 24, 10, 15).getTime();

export function words(text: string): Snippet {
  return createRawSnippet(() => ({ render: () => `<span>${text}</span>` }));
}

export function quickBackend(): FakeBackend {
  return new FakeBackend(() => Date.now(), 0);
}

/** One component with a desk around it. */
export function onStage(component: unknown, props: Record<string, unknown> = {}, backend = quickBackend()) {
  let desk: Desk | undefined;
  const shown = render(Stage, {
    backend,
    component: component as Component<Record<string, unknown>>,
    given: props,
    ondesk: (made: Desk) => (desk = made),
  });
  if (desk === undefined) throw new Error("no desk");
  return { ...shown, backend, desk };
}

/** The whole window on a backend in memory. */
export function openApp(backend = quickBackend()) {
  return { ...render(App, { backend }), backend };
}

export function byId(id: string): HTMLElement {
  const found = document.querySelector<HTMLElement>(`[data-testid="${id}"]`);
  if (found === null) throw new Error(`nothing on screen has data-testid="${id}"`);
  return found;
}

export function allById(id: string): HTMLElement[] {
  return [...document.querySelectorAll<HTMLElement>(`[data-testid="${id}"]`)];
}

export async function appears(id: string): Promise<HTMLElement> {
  await waitFor(() => expect(allById(id).length, `${id} on screen`).toBeGreaterThan(0), { timeout: 5000 });
  return byId(id);
}

export async function says(text: string | RegExp): Promise<void> {
  await waitFor(() => expect(document.body.textContent?.replace(/\s+/gu, " ")).toMatch(text), { timeout: 5000 });
}
