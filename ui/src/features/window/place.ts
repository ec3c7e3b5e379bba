import type { Component } from "svelte";
import type { Desk } from "~/desk.svelte";
import type { PlaceId } from "./whereabouts.svelte";

/** One place of the rail: what a feature hands over to be reached. */
export interface Place {
  id: PlaceId;
  label: () => string;
  icon: Component;
  view: Component;
  /** What the badge on the rail counts, and how it is said. */
  badge?: (desk: Desk) => { count: number; label: string };
}
