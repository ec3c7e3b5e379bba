import type { Backend, Problem, Settings, SettingsView, Stop } from "~/backend/backend";
import { speak } from "~/language.svelte";

export type Theme = "light" | "dark" | "contrast";

const BEFORE: SettingsView = {
  values: {
    language: "system",
    theme: "system",
    notifications: true,
    notificationContent: false,
    doNotDisturbUntil: null,
    startAtLogin: false,
    closeToTray: true,
  },
  managed: {},
  systemLanguage: "fr",
};

/** The person's settings as Rust keeps them, and what the window makes of language and theme. */
export class SettingsState {
  view = $state.raw<SettingsView>(BEFORE);
  loaded = $state(false);
  problem = $state.raw<Problem | null>(null);
  /** The theme on screen now, after "system" has been resolved. */
  theme = $state<Theme>("light");

  constructor(private readonly backend: Backend) {}

  start(): Stop {
    let told = false;
    const stop = this.backend.settings.onChange((view) => {
      told = true;
      this.apply(view);
    });
    void this.backend.settings.read().then((answer) => {
      if (told) return;
      if (answer.status === "ok") this.apply(answer.data);
      else this.problem = answer.error;
    });
    const unwatch = watchSystem(() => this.paint());
    this.paint();
    return () => {
      stop();
      unwatch();
    };
  }

  /** Rust answers with what it really kept; until then the screen shows the old value. */
  async change(part: Partial<Settings>): Promise<void> {
    const answer = await this.backend.settings.change({ ...this.view.values, ...part });
    if (answer.status === "ok") {
      this.problem = null;
      this.apply(answer.data);
    } else {
      this.problem = answer.error;
    }
  }

  private apply(view: SettingsView): void {
    this.view = view;
    this.loaded = true;
    this.paint();
  }

  private paint(): void {
    const { language, theme } = this.view.values;
    speak(language === "system" ? this.view.systemLanguage : language);
    this.theme = theme === "system" ? systemTheme() : theme;
    document.documentElement.dataset.theme = this.theme;
  }
}

const MORE_CONTRAST = "(prefers-contrast: more)";
const DARK = "(prefers-color-scheme: dark)";

function systemTheme(): Theme {
  if (matchMedia(MORE_CONTRAST).matches) return "contrast";
  return matchMedia(DARK).matches ? "dark" : "light";
}

function watchSystem(changed: () => void): Stop {
  const queries = [matchMedia(MORE_CONTRAST), matchMedia(DARK)];
  for (const query of queries) query.addEventListener("change", changed);
  return () => {
    for (const query of queries) query.removeEventListener("change", changed);
  };
}
