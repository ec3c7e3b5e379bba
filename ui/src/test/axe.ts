import axe from "axe-core";
import { expect } from "vitest";

/** Fails with every violation and the element it is on. Colours are checked in tokens.test.ts. */
export async function expectAccessible(root: Element = document.body): Promise<void> {
  const { violations } = await axe.run(root, {
    rules: {
      // jsdom paints nothing.
      "color-contrast": { enabled: false },
      // A component alone stands in no landmark; whole views are checked with this rule on.
      region: { enabled: root === document.body },
    },
  });
  const found = violations.map(
    (violation) => `${violation.id}: ${violation.help}\n  ${violation.nodes.map((node) => node.html.slice(0, 200)).join("\n  ")}`,
  );
  expect(found, found.join("\n")).toEqual([]);
}
