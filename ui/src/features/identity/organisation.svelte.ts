import type { Backend, Organisation, Problem } from "~/backend/backend";

/** Long enough that a person who types is not asked about half an address. */
const PAUSE = 450;

type Search =
  | { state: "idle" }
  | { state: "searching"; address: string }
  | { state: "found"; address: string; organisation: Organisation }
  | { state: "problem"; address: string; problem: Problem };

/** Finds the organisation of an address while it is typed. Only the newest search counts. */
export class OrganisationSearch {
  current = $state.raw<Search>({ state: "idle" });
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly backend: Backend) {}

  /** Call with every change of the field. */
  typed(text: string): void {
    clearTimeout(this.#timer);
    const address = text.trim();
    if (!looksComplete(address)) {
      this.current = { state: "idle" };
      return;
    }
    if (this.current.state !== "idle" && this.current.address === address) return;
    this.current = { state: "searching", address };
    this.#timer = setTimeout(() => void this.#find(address), PAUSE);
  }

  /** Searches at once, for Continue pressed before the pause has passed. */
  async now(text: string): Promise<Organisation | null> {
    const address = text.trim();
    if (this.current.state === "found" && this.current.address === address) return this.current.organisation;
    clearTimeout(this.#timer);
    this.current = { state: "searching", address };
    return this.#find(address);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.current = { state: "idle" };
  }

  async #find(address: string): Promise<Organisation | null> {
    const answer = await this.backend.session.find(address);
    if (this.current.state !== "searching" || this.current.address !== address) return null;
    if (answer.status === "ok") {
      this.current = { state: "found", address, organisation: answer.data };
      return answer.data;
    }
    this.current = { state: "problem", address, problem: answer.error };
    return null;
  }
}

/** `name@domain` or a bare domain that could exist; everything finer is Rust's to judge. */
export function looksComplete(address: string): boolean {
  return /^([^\s@]+@)?(localhost(:\d+)?|[^\s@.]+(\.[^\s@.]+)*\.[^\s@.]{2,}(:\d+)?)$/u.test(address);
}
