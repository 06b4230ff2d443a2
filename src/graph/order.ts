/**
 * Orders nodes so that every value is made before it is read, keeping the given order wherever it allows that.
 */
import { invariant } from '../support/assert.ts';
import type { Node, ValueName } from './model.ts';

/** A stable topological order; values made by no node count as given. Throws an InternalError on a cycle. */
export const sortNodes = (nodes: readonly Node[]): readonly Node[] => {
  const producer = new Map<ValueName, Node>();
  for (const node of nodes) for (const output of node.outputs) if (output !== '') producer.set(output, node);
  const state = new Map<Node, 'open' | 'done'>();
  const sorted: Node[] = [];
  for (const root of nodes) {
    const stack: { node: Node; next: number }[] = [{ node: root, next: 0 }];
    while (stack.length > 0) {
      const top = stack[stack.length - 1] as { node: Node; next: number };
      if (top.next === 0) {
        if (state.get(top.node) === 'done') {
          stack.pop();
          continue;
        }
        state.set(top.node, 'open');
      }
      const reads = [...top.node.inputs, ...top.node.captures];
      let pushed = false;
      while (top.next < reads.length) {
        const before = producer.get(reads[top.next++] ?? '');
        if (before === undefined || state.get(before) === 'done') continue;
        invariant(state.get(before) !== 'open', `the graph has a cycle through "${before.name}"`);
        stack.push({ node: before, next: 0 });
        pushed = true;
        break;
      }
      if (pushed) continue;
      state.set(top.node, 'done');
      sorted.push(top.node);
      stack.pop();
    }
  }
  return sorted;
};
