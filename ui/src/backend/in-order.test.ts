import { expect, test } from "vitest";
import { inOrder } from "./in-order";

test("a quick task waits for a slow one of the same key, also when that fails", async () => {
  const run = inOrder();
  const finished: string[] = [];
  let release = (): void => undefined;
  const slow = run("room", async () => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    finished.push("slow");
    throw new Error("refused");
  });
  const quick = run("room", async () => finished.push("quick"));
  await run("other room", async () => finished.push("other"));
  expect(finished).toEqual(["other"]);
  release();
  await expect(slow).rejects.toThrow("refused");
  await quick;
  expect(finished).toEqual(["other", "slow", "quick"]);
});
