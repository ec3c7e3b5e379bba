import { mount } from "svelte";
import App from "./App.svelte";
import "./design/tokens.css";
import "./design/base.css";
import type { Backend } from "./backend/backend";

// The build mode decides, so a bundle holds one backend only.
async function chooseBackend(): Promise<Backend> {
  if (import.meta.env.MODE === "fake") {
    const { fakeBackend } = await import("./backend/fake");
    return fakeBackend(new URLSearchParams(location.search));
  }
  const { tauriBackend } = await import("./backend/tauri");
  return tauriBackend();
}

const target = document.getElementById("app");
if (target !== null) mount(App, { target, props: { backend: await chooseBackend() } });
