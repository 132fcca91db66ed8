"""Independent values for the estimators of this package, from numpy and scipy.

    pip install numpy scipy
    python tests/oracle/values.py > tests/oracle/values.json

Nothing here is a translation of the Rust code: where scipy has the estimator it is used, and what scipy lacks is written in its
plainest form (all sign flips, all pairs).
"""

import itertools
import json
import math

import numpy as np
from scipy import optimize, stats

rng = np.random.default_rng(20261123)


def sign_flips(rows):
    """Raw and Westfall-Young step-down p of rows (endpoints) x blocks, by all sign flips."""
    rows = np.asarray(rows)
    blocks = rows.shape[1]
    flips = np.array(list(itertools.product([1.0, -1.0], repeat=blocks)))
    flipped = rows[:, None, :] * flips[None, :, :]
    t = flipped.mean(2) / np.sqrt(flipped.var(2) / (blocks - 1))
    observed = t[:, 0]
    reach = lambda values, limit: float((values >= limit - 1e-9 * (1 + abs(limit))).mean())
    raw = [reach(row, limit) for row, limit in zip(t, observed)]
    order = np.argsort(-observed)
    adjusted, running = [0.0] * len(rows), 0.0
    for k, index in enumerate(order):
        running = max(running, reach(t[order[k:]].max(0), observed[index]))
        adjusted[index] = running
    return {"t": observed.tolist(), "raw": raw, "adjusted": adjusted}


def walsh(row):
    averages = sorted((row[i] + row[j]) / 2 for i in range(len(row)) for j in range(i, len(row)))
    n = len(row)
    # The exact null distribution of the signed-rank sum by enumeration.
    sums = np.zeros(n * (n + 1) // 2 + 1)
    for signs in itertools.product([0, 1], repeat=n):
        sums[sum(rank for rank, sign in enumerate(signs, 1) if sign)] += 1
    below = np.cumsum(sums) / 2.0**n
    k = int(np.nonzero(below <= 0.05)[0].max())
    return {"estimate": float(np.median(averages)), "low": averages[k], "high": averages[-1 - k]}


def mser5(values):
    z = np.asarray(values)[: len(values) // 5 * 5].reshape(-1, 5).mean(1)
    k = len(z)
    costs = [((z[d:] - z[d:].mean()) ** 2).sum() / (k - d) ** 2 for d in range(math.ceil(k / 2))]
    return int(np.argmin(costs))


def usl(n, lam, sigma, kappa):
    return lam * n / (1 + sigma * (n - 1) + kappa * n * (n - 1))


def usl_case():
    n = np.array([1, 2, 4, 8, 12, 16, 24, 32, 48, 64], dtype=float)
    x = usl(n, 800.0, 0.03, 0.0005) * np.exp(0.02 * rng.standard_normal(len(n)))
    fit, _ = optimize.curve_fit(usl, n, x, p0=[x[0], 0.01, 0.001], bounds=(0, np.inf), xtol=1e-14, ftol=1e-14, gtol=1e-14)
    return {"n": n.tolist(), "x": x.tolist(), "lambda": fit[0], "sigma": fit[1], "kappa": fit[2]}


def unpaired_case():
    """Welch's interval and one-sided p against a limit; one further value against the prediction interval of a group."""
    before, after = rng.normal(2.0, 0.1, 5).round(4), rng.normal(2.5, 0.3, 8).round(4)
    limit = 0.4
    test = stats.ttest_ind(after - limit, before, equal_var=False, alternative="greater")
    both = stats.ttest_ind(after, before, equal_var=False).confidence_interval(0.90)
    # A prediction interval is the interval of a t statistic of one value against a mean with one more value's variance.
    further, count = 2.31, len(before)
    scale = before.std(ddof=1) * math.sqrt(1 + 1 / count)
    low, high = stats.t.interval(0.90, count - 1, loc=further - before.mean(), scale=scale)
    raw = [0.012, 0.5, 0.001, 0.03, 0.04]
    # Holm by its definition: the largest of (n - rank + 1) p over all p not larger.
    holm = [min(1.0, max((len(raw) - sorted(raw).index(q)) * q for q in raw if q <= p)) for p in raw]
    return {
        "before": before.tolist(),
        "after": after.tolist(),
        "limit": limit,
        "p_above": test.pvalue,
        "low": both.low,
        "high": both.high,
        "further": further,
        "further_low": low,
        "further_high": high,
        "raw": raw,
        "holm": holm,
    }


def main():
    rows = (0.03 + 0.06 * rng.standard_normal((5, 11))).round(4)
    settling = np.concatenate([np.linspace(30, 10, 60), 10 + rng.standard_normal(240)]).round(4)
    before, after = rng.normal(10, 1, 14).round(4), rng.normal(11, 1.5, 9).round(4)
    test = stats.ttest_ind(before, after)
    print(
        json.dumps(
            {
                "sign_flip": {"rows": rows.tolist(), **sign_flips(rows)},
                "hodges_lehmann": [{"row": row.tolist(), **walsh(row)} for row in rows],
                "student": [[p, df, stats.t.ppf(p, df)] for p in (0.9, 0.95, 0.975, 0.9995) for df in (1, 4, 23, 95)],
                "mser5": {"values": settling.tolist(), "batches": mser5(settling)},
                "t_test": {"before": before.tolist(), "after": after.tolist(), "t": test.statistic, "p": test.pvalue},
                "usl": usl_case(),
                "unpaired": unpaired_case(),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
