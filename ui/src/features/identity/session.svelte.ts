import type { Backend, Session, Stop } from "~/backend/backend";

/** Who is signed in, as Rust tells it. */
export class SessionState {
  current = $state.raw<Session>({ state: "starting" });

  constructor(private readonly backend: Backend) {}

  start(): Stop {
    let told = false;
    const stop = this.backend.session.onChange((session) => {
      told = true;
      this.current = session;
    });
    void this.backend.session.state().then((answer) => {
      // An event that came first is newer than this answer.
      if (told) return;
      if (answer.status === "ok") this.current = answer.data;
      else this.current = { state: "signedOut", address: null, problem: answer.error };
    });
    return stop;
  }
}
