/** How the sentences in src/messages become code, for the build and for the checks alike. */
/** @type {import("@inlang/paraglide-js").CompilerOptions} */
export const messages = {
  project: "./project.inlang",
  outdir: "./src/paraglide",
  // The language comes from Rust (settings), never from a cookie or an address.
  strategy: ["globalVariable", "baseLocale"],
  isServer: "false",
  outputStructure: "message-modules",
  emitReadme: false,
};
