import { createContext } from "svelte";
import type { Me } from "~/backend/backend";

/** The person signed in, for whatever stands inside the frame. */
export const [useMe, provideMe] = createContext<() => Me>();
