import type { Problem, Result } from "~/backend/backend";

export type Notice = { id: number; text: string | null; problem: Problem | null };

const SHOWN_FOR = 6000;

/** Short words about what one just did: done, or why it could not be. */
export class Notices {
  list = $state.raw<readonly Notice[]>([]);
  #next = 1;

  say(text: string): void {
    const id = this.#add({ text, problem: null });
    setTimeout(() => this.dismiss(id), SHOWN_FOR);
  }

  /** Problems stay until they are closed: they may ask for something. */
  tell(problem: Problem): void {
    if (this.list.some((notice) => notice.problem?.code === problem.code)) return;
    this.#add({ text: null, problem });
  }

  /** Tells the problem of an answer, if it has one, and hands the answer on. */
  async check<T>(answer: Promise<Result<T>>): Promise<Result<T>> {
    const result = await answer;
    if (result.status === "error") this.tell(result.error);
    return result;
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  clear(): void {
    this.list = [];
  }

  #add(notice: Omit<Notice, "id">): number {
    const id = this.#next++;
    this.list = [...this.list, { id, ...notice }].slice(-3);
    return id;
  }
}
