/**
 * What was demanded of a comparison, and whether it holds. Figures of samples are taken as they are: the intervals
 * around them are told, not tested.
 */
import { CompileError } from '../diagnostics/diagnostic.ts';
import * as say from '../diagnostics/messages-validate.ts';
import type { Gate, ModelComparison } from '../metrics/comparison.ts';

export interface Demands {
  readonly minAgreement?: number;
  readonly maxDrop?: number;
}

/**
 * All gates, passed or not. `answers` is the output with the answers, where that is clear. Throws a CompileError
 * agreement-unknown where a demand is about answers that were not compared.
 */
export const gatesOf = (compared: ModelComparison, demands: Demands, answers: string | undefined): readonly Gate[] => {
  const { minAgreement, maxDrop } = demands;
  const gates: Gate[] = [];
  for (const { output, notFinite, outside, elements, tolerance } of compared.outputs) {
    const { different } = notFinite;
    gates.push({
      gate: 'finite',
      output,
      found: different,
      limit: 0,
      passed: different === 0,
      message: say.gateFinite(output, different),
    });
    if (outside !== null && tolerance !== null)
      gates.push({
        gate: 'tolerance',
        output,
        found: outside,
        limit: 0,
        passed: outside === 0,
        message: say.gateTolerance(output, outside, elements, tolerance.absolute, tolerance.relative),
      });
  }
  if (minAgreement !== undefined) {
    const output = answers ?? '';
    const found = compared.outputs.find((one) => one.output === output)?.agreement?.mean;
    if (found === undefined) throw new CompileError(say.agreementUnknown(output));
    gates.push({
      gate: 'min-agreement',
      output,
      found,
      limit: minAgreement,
      passed: found >= minAgreement,
      message: say.gateAgreement(output, found, minAgreement),
    });
  }
  const drop = compared.accuracy?.drop?.mean;
  if (maxDrop !== undefined && drop !== undefined)
    gates.push({
      gate: 'max-drop',
      output: compared.accuracy?.output ?? '',
      found: drop,
      limit: maxDrop,
      passed: drop <= maxDrop,
      message: say.gateDrop(compared.accuracy?.output ?? '', drop, maxDrop),
    });
  return gates;
};
