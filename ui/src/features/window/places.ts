// The places of the rail, in order. A new place registers itself with one line here.
import { chat } from "~/features/chat/place";
import { today } from "~/features/today/place";
import type { Place } from "./place";

export const places: readonly Place[] = [today, chat];
