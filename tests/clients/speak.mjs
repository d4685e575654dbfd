// How a client's program here speaks with the test that started it: JSON lines, one question and one answer at a time.
import { createInterface } from "node:readline";

export const told = JSON.parse(process.argv[2]);

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export function say(members) {
  process.stdout.write(JSON.stringify(members) + "\n");
}

export async function ask(members) {
  say(members);
  return JSON.parse((await lines.next()).value);
}

// The status of a request that the server should refuse; 0 where it was let through.
export async function refusal(promise) {
  try {
    await promise;
    return 0;
  } catch (error) {
    if (error.statusCode ?? error.response?.status) return error.statusCode ?? error.response.status;
    throw error;
  }
}
