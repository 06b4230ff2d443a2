/** The ways exporters write attention, tried in this order on every node. */
import type { AttentionPattern } from '../../src/analysis/attention.ts';
import { maskedExponentialPattern } from './masked-exponential.ts';
import { softmaxPattern } from './softmax.ts';

export const attentionPatterns: readonly AttentionPattern[] = [softmaxPattern, maskedExponentialPattern];
