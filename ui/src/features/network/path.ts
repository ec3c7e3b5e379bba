import type { Connection } from "~/backend/backend";
import type { Tone } from "./words";

export type Path = {
  computer: Tone;
  internet: Tone;
  services: Tone;
  reached: number;
  missing: number;
  total: number;
};

/** The way from this computer to the services, each step only as good as what was verified. */
export function connectionPath(connection: Connection): Path {
  const total = connection.services.length;
  const reached = connection.services.filter(({ status }) => status.state === "reachable").length;
  const checking = connection.services.filter(({ status }) => status.state === "checking").length;
  const missing = total - reached - checking;
  const { overall } = connection;
  return {
    computer: overall === "offline" ? "bad" : overall === "checking" ? "wait" : "ok",
    internet: overall === "offline" ? "bad" : overall === "captivePortal" || overall === "checking" ? "wait" : "ok",
    services: services(overall, total, reached, missing),
    reached,
    missing,
    total,
  };
}

function services(overall: Connection["overall"], total: number, reached: number, missing: number): Tone {
  if (overall === "offline" || overall === "internetOnly") return "bad";
  if (total > 0 && reached === total) return "ok";
  return missing === total && total > 0 ? "bad" : "wait";
}
