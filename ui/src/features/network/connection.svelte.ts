import type { Backend, Connection, Service, Stop } from "~/backend/backend";

const UNKNOWN: Connection = { overall: "checking", since: Date.now(), verifiedAt: null, services: [] };

/** What was verified about the way to the services. */
export class ConnectionState {
  current = $state.raw<Connection>(UNKNOWN);

  constructor(private readonly backend: Backend) {}

  start(): Stop {
    let told = false;
    const stop = this.backend.connection.onChange((connection) => {
      told = true;
      this.current = connection;
    });
    void this.backend.connection.state().then((answer) => {
      if (!told && answer.status === "ok") this.current = answer.data;
    });
    return stop;
  }
}

export function isReachable(service: Service): boolean {
  return service.status.state === "reachable";
}

/** The next attempt Rust announced for this service, if one is planned. */
export function retryAt(service: Service): number | null {
  const status = service.status;
  return status.state === "unreachable" || status.state === "wrongCertificate" ? status.retryAt : null;
}
