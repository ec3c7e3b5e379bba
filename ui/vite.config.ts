/// <reference types="vitest/config" />
import { fileURLToPath } from "node:url";
import { paraglideVitePlugin } from "@inlang/paraglide-js";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";
import { messages } from "./messages.config.js";

const source = fileURLToPath(new URL("./src", import.meta.url));

export default defineConfig(({ mode }) => ({
  // The webview serves the bundle from its own scheme; relative addresses work there and in a browser.
  base: "./",
  plugins: [
    paraglideVitePlugin(messages),
    svelte(),
  ],
  resolve: {
    alias: { "~": source },
    // Component tests mount the browser build of Svelte, not its server build.
    conditions: mode === "test" ? ["browser"] : undefined,
  },
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: ["safari17", "chrome120"],
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 400,
    // Start-up pays for every request to the app's own scheme: what several parts share travels as
    // one file, and so do the styles.
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{ name: "shared", minShareCount: 2, test: (id) => !/bits-ui|src\/design\/Dialog/u.test(id) }],
        },
      },
    },
  },
  server: { port: 5173, strictPort: false, host: "127.0.0.1" },
  preview: { host: "127.0.0.1" },
  test: {
    environment: "jsdom",
    setupFiles: ["./src/test/setup.ts"],
    include: ["src/**/*.test.ts"],
    restoreMocks: true,
    testTimeout: 20_000,
  },
}));
