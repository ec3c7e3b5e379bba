// Applies the list diffs of Rust (eyeball-im's VectorDiff) to a copy of a list.
import type { ListDiff } from "~/backend/backend";

/** The stream and our copy no longer agree: the only cure is to subscribe again. */
export class DiffMismatch extends Error {
  constructor(op: string, index: number, length: number) {
    super(`${op} at ${index} does not fit a list of ${length}`);
    this.name = "DiffMismatch";
  }
}

/** One copy for a whole batch, so a batch costs O(length + diffs) and readers see it at once. */
export function applyDiffs<T>(list: readonly T[], diffs: readonly ListDiff<T>[]): T[] {
  let next = list.slice();
  for (const diff of diffs) {
    switch (diff.op) {
      case "append":
        for (const value of diff.values) next.push(value);
        break;
      case "clear":
        next = [];
        break;
      case "pushFront":
        next.unshift(diff.value);
        break;
      case "pushBack":
        next.push(diff.value);
        break;
      case "popFront":
        expect(next.length > 0, diff.op, 0, next.length);
        next.shift();
        break;
      case "popBack":
        expect(next.length > 0, diff.op, 0, next.length);
        next.pop();
        break;
      case "insert":
        expect(diff.index <= next.length, diff.op, diff.index, next.length);
        next.splice(diff.index, 0, diff.value);
        break;
      case "set":
        expect(diff.index < next.length, diff.op, diff.index, next.length);
        next[diff.index] = diff.value;
        break;
      case "remove":
        expect(diff.index < next.length, diff.op, diff.index, next.length);
        next.splice(diff.index, 1);
        break;
      case "truncate":
        expect(diff.length <= next.length, diff.op, diff.length, next.length);
        next.length = diff.length;
        break;
      case "reset":
        next = diff.values.slice();
        break;
    }
  }
  return next;
}

function expect(fits: boolean, op: string, index: number, length: number): void {
  if (!fits) throw new DiffMismatch(op, index, length);
}
