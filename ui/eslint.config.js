import { fileURLToPath } from "node:url";
import importX from "eslint-plugin-import-x";
import svelte from "eslint-plugin-svelte";
import ts from "typescript-eslint";
import svelteConfig from "./svelte.config.js";

const SEAM = "Only src/backend talks to the desktop program (one seam). Ask for it in backend.ts.";

export default ts.config(
  { ignores: ["dist/", "dist-fake/", "src/paraglide/", "project.inlang/", "node_modules/"] },
  ...ts.configs.recommended,
  ...svelte.configs["flat/recommended"],
  {
    plugins: { "import-x": importX },
    // Also for plain files: the cycle rule reads the components they import.
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: [".svelte"] } },
    settings: {
      "import-x/ignore": ["node_modules", "src/paraglide"],
      "import-x/extensions": [".ts", ".svelte", ".js"],
      "import-x/parsers": { "@typescript-eslint/parser": [".ts"], "svelte-eslint-parser": [".svelte"] },
      "import-x/resolver-next": [
        importX.createNodeResolver({
          extensions: [".ts", ".svelte.ts", ".svelte", ".js"],
          tsconfig: { configFile: fileURLToPath(new URL("./tsconfig.json", import.meta.url)) },
        }),
      ],
    },
    rules: {
      "import-x/no-cycle": "error",
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { group: ["@tauri-apps/*"], message: SEAM },
            { group: ["~/backend/bindings", "**/bindings"], message: "Types come from backend.ts; bindings are generated." },
          ],
        },
      ],
      "no-restricted-globals": ["error", "__TAURI__", "__TAURI_INTERNALS__"],
      "no-eval": "error",
      "@typescript-eslint/no-explicit-any": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": "error",
      // Message text is never turned into markup.
      "svelte/no-at-html-tags": "error",
      "svelte/no-navigation-without-resolve": "off",
      "svelte/prefer-svelte-reactivity": "off",
      // {" "} keeps a space that the formatter or compiler would trim.
      "svelte/no-useless-mustaches": "off",
      "svelte/button-has-type": "error",
    },
  },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { parserOptions: { parser: ts.parser, extraFileExtensions: [".svelte"], svelteConfig } },
  },
  {
    files: ["src/backend/**"],
    rules: { "no-restricted-imports": "off" },
  },
  {
    // Generated.
    files: ["src/backend/bindings.ts"],
    linterOptions: { reportUnusedDisableDirectives: "off" },
    rules: { "@typescript-eslint/no-explicit-any": "off", "@typescript-eslint/consistent-type-imports": "off" },
  },
);
