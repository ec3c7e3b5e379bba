/** Repeats "is typing" while someone types, and takes it back when they pause, send or leave. */
export class TypingSignal {
  /** The server forgets after some 30 s; one word every 4 s is plenty and bounds the traffic. */
  static readonly every = 4000;
  static readonly pause = 7000;

  #lastTold = -Infinity;
  #quiet: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly tell: (typing: boolean) => void,
    private readonly now: () => number = () => Date.now(),
  ) {}

  typed(): void {
    clearTimeout(this.#quiet);
    this.#quiet = setTimeout(() => this.stop(), TypingSignal.pause);
    if (this.now() - this.#lastTold < TypingSignal.every) return;
    this.#lastTold = this.now();
    this.tell(true);
  }

  stop(): void {
    clearTimeout(this.#quiet);
    if (this.#lastTold === -Infinity) return;
    this.#lastTold = -Infinity;
    this.tell(false);
  }
}
