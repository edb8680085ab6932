"""The objectives of the literature: each one's equation and the formulas that compose it.

A table of data for the index, which checks every name in it. Losses are minimised. Symbols: r is a
probability ratio, Â an advantage, G a return, R a response's reward, y a target, Δ a preference
margin, sg a stopped gradient, and clip(r) = clip(r, 1 − ε_low, 1 + ε_high).
"""

Objective = tuple[str, str, str]  # name, equation, formulas in the order in which they are applied

OBJECTIVES: dict[str, list[Objective]] = {
    "Policy gradients": [
        ("Whole-trajectory return", "−R(τ) log π(a|s)", "trajectory_return policy_gradient"),
        ("REINFORCE", "−G log π(a|s)", "reward_to_go policy_gradient"),
        (
            "REINFORCE with baseline",
            "−(G − b(s)) log π(a|s)",
            "reward_to_go baselined_return policy_gradient squared_loss",
        ),
        (
            "REINFORCE with an action-dependent baseline",
            "−[log π(a|s) (G − b(s, a)) + Σ π(·|s) b(s, ·)]",
            "reward_to_go action_dependent_loss",
        ),
        ("Actor-critic with Q", "−Q(s, a) log π(a|s)", "action_value policy_gradient"),
        (
            "Actor-critic with A",
            "−(Q(s, a) − Σ π Q(s, ·)) log π(a|s)",
            "action_advantage policy_gradient",
        ),
        ("Actor-critic with TD error", "−(r + γ v′ − v) log π(a|s)", "td_error policy_gradient"),
        ("Entropy bonus", "− c H(π)", "categorical_entropy gaussian_entropy"),
        (
            "A2C",
            "−Â log π(a|s) + c₁ ½(v − G)² − c₂ H(π)",
            "gae policy_gradient squared_loss categorical_entropy",
        ),
        (
            "PPO-clip",
            "−min(rÂ, clip(r)Â) + c₁ ½ max((v − G)², (clip(v, v_old ± ε) − G)²) − c₂ H(π)",
            "gae whiten token_log_ratio clipped_surrogate clipped_value_loss categorical_entropy",
        ),
        (
            "PPO-penalty",
            "−rÂ + β KL(π_old‖π), with β adapted to a target KL",
            "gae token_log_ratio categorical_kl kl_penalised adaptive_kl_coefficient",
        ),
        (
            "Dual-clip PPO",
            "−min(rÂ, clip(r)Â), and −max(min(rÂ, clip(r)Â), cÂ) where Â < 0",
            "gae token_log_ratio dual_clipped_surrogate",
        ),
        (
            "TRPO",
            "min −rÂ − c H(π) subject to mean KL(π_old‖π) ≤ δ",
            "gae token_log_ratio importance_weighted categorical_entropy categorical_kl"
            " trust_region_step",
        ),
        (
            "V-trace (IMPALA)",
            "−ρ(r + γ vs′ − v) log π(a|s) + c₁ ½(v − vs)² − c₂ H(π)",
            "token_log_ratio truncated_weight vtrace vtrace_advantage policy_gradient"
            " squared_loss categorical_entropy",
        ),
        (
            "Decoupled PPO",
            "sg[min(π_prox/π_behaviour, C)] · −min(rÂ, clip(r)Â) with r = π/π_prox",
            "token_log_ratio decoupled_surrogate",
        ),
        (
            "Truncated importance sampling",
            "sg[min(π_old/π_rollout, C)] · −min(rÂ, clip(r)Â)",
            "token_log_ratio truncated_weight clipped_surrogate",
        ),
        (
            "IcePop",
            "sg[w 1[l ≤ w ≤ u]] · −min(rÂ, clip(r)Â) with w = π_old/π_rollout",
            "token_log_ratio masked_weight clipped_surrogate",
        ),
    ],
    "Language models: groups of responses to a prompt": [
        (
            "RLHF PPO",
            "−min(rÂ, clip(r)Â) over tokens, rewards −β(log π − log π_ref) + R at the last token",
            "kl_reward masked_gae whiten token_log_ratio clipped_surrogate clipped_value_loss"
            " token_mean",
        ),
        (
            "GRPO",
            "(1/G) Σᵢ (1/|oᵢ|) Σₜ [−min(rÂ, clip(r)Â) + β k3], Â = (R − mean R)/std R",
            "group_relative token_log_ratio clipped_surrogate k3 sequence_mean",
        ),
        (
            "GRPO with rewards of steps",
            "as GRPO, Âₜ = Σⱼ₌ₜ (rⱼ − mean r)/std r over all steps of the group",
            "group_relative discounted_return token_log_ratio clipped_surrogate k3 sequence_mean",
        ),
        (
            "Dr. GRPO (Dr.GRPO)",
            "(1/G) Σᵢ (1/L) Σₜ −min(rÂ, clip(r)Â), Â = R − mean R",
            "group_centred token_log_ratio clipped_surrogate fixed_length",
        ),
        (
            "DAPO",
            "(1/Σ|oᵢ|) ΣᵢΣₜ −min(rÂ, clip(r, 0.8, 1.28)Â), Â = (R − mean R)/std R; groups all right"
            " or all wrong left out",
            "soft_overlong_penalty group_relative token_log_ratio clipped_surrogate token_mean",
        ),
        (
            "GSPO",
            "(1/G) Σᵢ −min(sÂ, clip(s, 1 − 3e-4, 1 + 4e-4)Â), s = (π(oᵢ)/π_old(oᵢ))^(1/|oᵢ|)",
            "group_relative sequence_log_ratio clipped_surrogate sequence_mean",
        ),
        (
            "GSPO-token",
            "−min(sₜÂₜ, clip(sₜ)Âₜ), sₜ = sg[s] πₜ/sg[πₜ]",
            "group_relative gspo_token_log_ratio clipped_surrogate sequence_mean",
        ),
        (
            "DCPO",
            "Σᵢ (1/|oᵢ|) Σₜ −min(rÂ, clip(r, l(q), u(q))Â), r ≤ 10, Â smoothed; q the old"
            " probability",
            "smoothed_advantage token_log_ratio dynamic_bounds dual_clipped_surrogate"
            " only_token_mean",
        ),
        (
            "GRPO with off-policy masking",
            "−1[Â ≥ 0 or mean −log r ≤ δ] min(rÂ, clip(r)Â)",
            "group_relative token_log_ratio off_policy_mask clipped_surrogate sequence_mean",
        ),
        (
            "CISPO",
            "−sg[clip(r)] Â log π",
            "group_relative token_log_ratio cispo token_mean",
        ),
        (
            "RLOO",
            "−(Rᵢ − mean_{j≠i} Rⱼ) log π(o)",
            "leave_one_out policy_gradient sequence_sum",
        ),
        (
            "REINFORCE++",
            "−min(rÂ, clip(r)Â), Â the return to go whitened over the whole batch",
            "kl_reward reinforce_plus_plus token_log_ratio clipped_surrogate token_mean",
        ),
        (
            "REINFORCE++-baseline",
            "−min(rÂ, clip(r)Â) + β k2, Â = R − mean R whitened over the whole batch",
            "group_centred whiten token_log_ratio clipped_surrogate k2 token_mean",
        ),
        (
            "ReMax",
            "−(R − R(greedy)) log π(o)",
            "greedy_advantage policy_gradient sequence_sum",
        ),
        (
            "OPO",
            "−(R − Σ l R/Σ l) log π(o)",
            "length_weighted_advantage policy_gradient sequence_sum",
        ),
        (
            "VAPO",
            "−min(rÂ, clip(r)Â) + μ NLL of right responses, λ = 1 − 1/(α l), critic with λ = 1",
            "length_adaptive_lambda masked_gae token_log_ratio clipped_surrogate token_mean"
            " sft_loss",
        ),
        (
            "Kimi k1.5 length reward",
            "R + λ, λ = ½ − (l − min l)/(max l − min l), min(0, λ) if wrong",
            "relative_length_reward",
        ),
    ],
    "Values": [
        (
            "Policy evaluation",
            "v ← Σ π(a|s) Σ P(s′|s, a) (r + γ v(s′))",
            "action_backup expectation_backup",
        ),
        (
            "Policy iteration",
            "π ← argmax q of the value of π, until π stands still",
            "expectation_backup action_backup greedy",
        ),
        (
            "Value iteration",
            "v ← max Σ P(s′|s, a) (r + γ v(s′))",
            "action_backup optimality_backup greedy",
        ),
        (
            "Tabular Q-learning, Sarsa, expected Sarsa, double Q-learning",
            "Q(s, a) ← Q(s, a) + α (y − Q(s, a))",
            "epsilon_greedy q_learning_target sarsa_target epsilon_greedy_prob"
            " expected_sarsa_target double_q_target",
        ),
        (
            "Sarsa(λ), Watkins's Q(λ) and TD(λ) with traces",
            "Q ← Q + α δ e",
            "epsilon_greedy sarsa_target q_learning_target td_target accumulating_trace"
            " replacing_trace",
        ),
        (
            "Monte Carlo control",
            "Q(s, a) ← Q(s, a) + α (G − Q(s, a))",
            "epsilon_greedy reward_to_go",
        ),
        ("TD(0)", "½(v − (r + γ v′))²", "td_target squared_loss"),
        ("TD(λ)", "½(v − G^λ)²", "lambda_return squared_loss"),
        ("n-step TD", "½(v − G⁽ⁿ⁾)²", "n_step_return squared_loss"),
        ("Sarsa", "½(Q(s, a) − (r + γ Q(s′, a′)))²", "action_value sarsa_target squared_loss"),
        (
            "Expected Sarsa",
            "½(Q(s, a) − (r + γ Σ π Q(s′, ·)))²",
            "action_value expected_sarsa_target squared_loss",
        ),
        (
            "Q-learning",
            "½(Q(s, a) − (r + γ max Q(s′, ·)))²",
            "action_value q_learning_target squared_loss",
        ),
        (
            "DQN",
            "huber(Q(s, a) − (r + γ max Q⁻(s′, ·)))",
            "epsilon_greedy action_value q_learning_target huber_loss",
        ),
        (
            "Double DQN",
            "huber(Q(s, a) − (r + γ Q⁻(s′, argmax Q(s′, ·))))",
            "epsilon_greedy action_value double_q_target huber_loss",
        ),
        (
            "n-step DQN",
            "huber(Q(s, a) − G⁽ⁿ⁾), bootstrapped with max Q⁻(s′, ·)",
            "max_value n_step_return action_value huber_loss",
        ),
        (
            "R2D2",
            "huber(Q(s, a) − h(G⁽ⁿ⁾)), bootstrapped with h⁻¹(Q⁻(s′, argmax Q(s′, ·)))",
            "double_value stretched_return n_step_return squashed_return huber_loss "
            "sequence_priority",
        ),
        ("Dueling DQN", "Q = v + a − mean a", "dueling"),
        (
            "Soft Q-learning",
            "½(Q(s, a) − (r + γ τ log Σ exp(Q⁻(s′, ·)/τ)))²",
            "boltzmann action_value soft_q_target squared_loss",
        ),
        (
            "Munchausen DQN",
            "huber(Q(s, a) − (r + α clip(τ log π(a|s), l₀, 0) + γ Σ π(Q⁻ − τ log π)))",
            "action_value munchausen_target huber_loss",
        ),
        (
            "Peng's Q(λ), PQN",
            "½(Q(s, a) − G^λ)² over max Q",
            "peng_target action_value squared_loss",
        ),
        (
            "Watkins's Q(λ)",
            "½(Q(s, a) − G^λ)² over max Q, cut at the first action that is not greedy",
            "watkins_target action_value squared_loss",
        ),
        (
            "Retrace(λ)",
            "½(Q(s, a) − G)², traces c = λ min(1, π/μ)",
            "token_log_ratio retrace_weight expected_value retrace squared_loss",
        ),
        (
            "C51",
            "−Σ p log softmax(logits), p the projection of r + γ z",
            "categorical_projection categorical_loss",
        ),
        (
            "QR-DQN",
            "Σᵢ meanⱼ |τᵢ − 1[u < 0]| L_κ(u)/κ, τᵢ = (2i + 1)/2N",
            "quantile_midpoints td_target quantile_huber_loss",
        ),
        (
            "IQN",
            "Σᵢ meanⱼ |τᵢ − 1[u < 0]| L_κ(u)/κ, τᵢ uniform",
            "td_target quantile_huber_loss",
        ),
        ("IQL (expectile)", "|τ − 1[Q < v]| (Q − v)²", "expectile_loss"),
    ],
    "Deterministic and soft actor-critic": [
        (
            "DPG, DDPG",
            "−Q(s, μ(s)), critic ½(Q − (r + γ Q⁻(s′, μ⁻(s′))))²",
            "deterministic_policy_loss td_target squared_loss",
        ),
        (
            "TD3",
            "−Q(s, μ(s)), critics ½(Q − (r + γ min Q⁻(s′, μ⁻(s′) + noise)))²",
            "smoothed_action min_value td_target squared_loss deterministic_policy_loss",
        ),
        (
            "SAC",
            "α log π − Q, critics ½(Q − (r + γ (min Q⁻ − α log π′)))², −α(log π + H̄)",
            "min_value sac_target squared_loss sac_actor_loss temperature_loss",
        ),
        (
            "Discrete SAC",
            "−Σ π(Q − α log π), critics ½(Q − (r + γ Σ π′(min Q⁻ − α log π′)))²",
            "min_value discrete_soft_value td_target action_value squared_loss temperature_loss",
        ),
    ],
    "Preferences": [
        ("SFT", "−log π(oₜ)", "sft_loss token_mean"),
        ("Reward model", "−log σ(s_w − s_l − m)", "pairwise_reward_loss"),
        (
            "Ranking reward model",
            "−Σₖ log softmax(s₍ₖ₎, ..., s₍K₎)₍ₖ₎, or −log σ(sᵢ − sⱼ) over pairs",
            "plackett_luce_loss all_pairs_loss",
        ),
        ("DPO", "−log σ(βΔ)", "preference_margin dpo_loss"),
        ("cDPO", "−(1 − ε) log σ(βΔ) − ε log σ(−βΔ)", "preference_margin dpo_loss"),
        (
            "Robust DPO",
            "[−(1 − ε) log σ(βΔ) + ε log σ(−βΔ)]/(1 − 2ε)",
            "preference_margin robust_dpo_loss",
        ),
        ("IPO", "(Δ − 1/(2β))²", "preference_margin ipo_loss"),
        ("Hinge (SLiC)", "max(0, 1 − βΔ)", "preference_margin hinge_loss"),
        ("SimPO", "−log σ(β(w̄ − l̄) − γ), log-probabilities averaged over tokens", "simpo_loss"),
        ("ORPO", "−w̄ − β log σ(log odds(w̄) − log odds(l̄))", "orpo_loss"),
        (
            "KTO",
            "w(1 − σ(±β(log π/π_ref − z))), z the batch's KL",
            "kto_reference kto_loss",
        ),
        (
            "RRHF",
            "Σ max(0, pᵢ − pⱼ) over pairs with Rᵢ < Rⱼ, and −log π of the best",
            "rrhf_loss best_response_loss",
        ),
    ],
    "Imitation and exploration": [
        (
            "Behavioural cloning, DAgger",
            "−log π(a*|s), or ½‖a − a*‖²",
            "cloning_loss squared_cloning_loss",
        ),
        ("GAIL", "reward −log(1 − D)", "discriminator_loss gail_reward"),
        ("AIRL", "reward log D − log(1 − D)", "discriminator_loss airl_reward potential_shaping"),
        (
            "ICM",
            "reward η ½‖φ̂ − φ‖², features by predicting a from φ, φ′",
            "icm_forward_loss icm_inverse_loss icm_reward",
        ),
        ("RND", "reward ‖f̂ − f‖²/F", "rnd_error"),
        ("Potential shaping", "reward r + γ Φ(s′) − Φ(s)", "potential_shaping"),
    ],
}
