import Sun from "@lucide/svelte/icons/sun";
import type { Place } from "~/features/window/place";
import { m } from "~/paraglide/messages";
import Today from "./Today.svelte";

export const today: Place = { id: "today", label: () => m.place_today(), icon: Sun, view: Today };
