// What is said about the connection: exactly what was verified, nothing warmer.
import type { Connection, Service } from "~/backend/backend";
import { m } from "~/paraglide/messages";

export type Tone = "ok" | "wait" | "bad";

export function overallWord(connection: Connection): string {
  switch (connection.overall) {
    case "checking":
      return m.connection_checking();
    case "offline":
      return m.connection_offline();
    case "captivePortal":
      return m.connection_portal();
    case "internetOnly":
      return m.connection_internet_only();
    case "degraded":
      return m.connection_degraded();
    case "connected":
      return m.connection_connected();
  }
}

export function overallTone(overall: Connection["overall"]): Tone {
  if (overall === "connected") return "ok";
  return overall === "offline" || overall === "internetOnly" ? "bad" : "wait";
}

export function serviceName(service: Service): string {
  if (service.name !== null) return service.name;
  switch (service.kind) {
    case "signIn":
      return m.service_sign_in();
    case "chat":
      return m.service_chat();
    case "organisation":
      return m.service_organisation();
    case "other":
      return service.host;
  }
}

/** Why a service cannot be used, in one short sentence; `null` when it can or is not known yet. */
export function whyNot(service: Service): string | null {
  const status = service.status;
  if (status.state === "wrongCertificate") return m.service_wrong_certificate();
  if (status.state !== "unreachable") return null;
  switch (status.reason) {
    case "offline":
      return m.service_offline();
    case "timeout":
      return m.service_timeout();
    case "refused":
      return m.service_refused();
    case "dns":
      return m.service_dns();
    case "server":
      return m.service_server();
    case "protocol":
      return m.service_protocol();
  }
}
