import { describe, expect, it } from "vitest";
import type { ListDiff } from "~/backend/backend";
import { DiffMismatch, applyDiffs } from "./diff";

describe("list diffs", () => {
  it.each<[string, string[], ListDiff<string>, string[]]>([
    ["append", ["a"], { op: "append", values: ["b", "c"] }, ["a", "b", "c"]],
    ["clear", ["a", "b"], { op: "clear" }, []],
    ["pushFront", ["b"], { op: "pushFront", value: "a" }, ["a", "b"]],
    ["pushBack", ["a"], { op: "pushBack", value: "b" }, ["a", "b"]],
    ["popFront", ["a", "b"], { op: "popFront" }, ["b"]],
    ["popBack", ["a", "b"], { op: "popBack" }, ["a"]],
    ["insert in the middle", ["a", "c"], { op: "insert", index: 1, value: "b" }, ["a", "b", "c"]],
    ["insert at the end", ["a"], { op: "insert", index: 1, value: "b" }, ["a", "b"]],
    ["set", ["a", "x"], { op: "set", index: 1, value: "b" }, ["a", "b"]],
    ["remove", ["a", "x", "b"], { op: "remove", index: 1 }, ["a", "b"]],
    ["truncate", ["a", "b", "c"], { op: "truncate", length: 1 }, ["a"]],
    ["reset", ["x"], { op: "reset", values: ["a"] }, ["a"]],
  ])("%s", (_, before, diff, after) => {
    expect(applyDiffs(before, [diff])).toEqual(after);
  });

  it("leaves the list it was given alone", () => {
    const before = Object.freeze(["a", "b"]);
    applyDiffs(before, [{ op: "popFront" }, { op: "pushBack", value: "c" }]);
    expect(before).toEqual(["a", "b"]);
  });

  it("applies a batch in order", () => {
    const diffs: ListDiff<number>[] = [
      { op: "append", values: [1, 2, 3] },
      { op: "insert", index: 0, value: 0 },
      { op: "remove", index: 2 },
      { op: "set", index: 2, value: 9 },
    ];
    expect(applyDiffs([], diffs)).toEqual([0, 1, 9]);
  });

  it.each<ListDiff<string>>([
    { op: "popFront" },
    { op: "popBack" },
    { op: "insert", index: 1, value: "a" },
    { op: "set", index: 0, value: "a" },
    { op: "remove", index: 0 },
    { op: "truncate", length: 1 },
  ])("refuses $op that does not fit", (diff) => {
    expect(() => applyDiffs([], [diff])).toThrow(DiffMismatch);
  });

  it("turns any list into any other by the diffs between them", () => {
    let seed = 7;
    const random = (below: number) => {
      seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
      return seed % below;
    };
    for (let round = 0; round < 200; round += 1) {
      const model: number[] = [];
      const diffs: ListDiff<number>[] = [];
      for (let step = 0; step < 40; step += 1) {
        const value = random(1000);
        const index = random(model.length + 1);
        const kind = random(5);
        if (kind === 0 || model.length === 0) {
          model.splice(index, 0, value);
          diffs.push({ op: "insert", index, value });
        } else if (kind === 1) {
          model.splice(index % model.length, 1);
          diffs.push({ op: "remove", index: index % (model.length + 1) });
        } else if (kind === 2) {
          model[index % model.length] = value;
          diffs.push({ op: "set", index: index % model.length, value });
        } else if (kind === 3) {
          model.push(value, value + 1);
          diffs.push({ op: "append", values: [value, value + 1] });
        } else {
          model.unshift(value);
          diffs.push({ op: "pushFront", value });
        }
      }
      expect(applyDiffs([], diffs)).toEqual(model);
    }
  });

  it("copies a long list once for a batch", () => {
    const long = Array.from({ length: 5000 }, (_, at) => at);
    const diffs = Array.from({ length: 200 }, (_, at): ListDiff<number> => ({ op: "set", index: at, value: -at }));
    const began = performance.now();
    applyDiffs(long, diffs);
    expect(performance.now() - began).toBeLessThan(50);
  });
});
