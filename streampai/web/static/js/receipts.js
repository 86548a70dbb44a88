// A command that reaches several platforms answers per platform:
// {"receipts": {"twitch": {"ok": true, …}, "kick": {"ok": false, "error": {code, message, …}}}}. Pure.

/** {done: [platform], failed: [{platform, error}]} */
export function receipts(result) {
  const entries = Object.entries(result?.receipts ?? {}).map(([platform, answer]) => [platform, answer ?? {}]);
  return {
    done: entries.filter(([, answer]) => !answer.error).map(([platform]) => platform),
    failed: entries.filter(([, answer]) => answer.error).map(([platform, { error }]) => ({ platform, error })),
  };
}
