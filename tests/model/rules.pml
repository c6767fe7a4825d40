/* rules.pml: printed from rules.go and atoms.go by go test ./tests/model -run RulesPml -rewrite; do not edit. */

#define mode_fence (MODE==FENCE)
#define mode_silence (MODE==SILENCE)
#define mode_lease (MODE==LEASED)
#define has_fence HASFENCE
#define passive (nd[n].fl || nd[n].leaving || gr[k].st==MAINTENANCE || gr[k].st==FAILED)
#define stopping nd[n].leaving
#define lease_held (gr[k].lease>0)
#define maintained 0
#define long (nd[n].hang>=LEASE)
#define stranger 0
#define undisputed 0
#define met 0
#define holding (gr[k].hold>0)
#define doubting (gr[k].doubt>0)
#define doubted (gr[k].doubt>1)
#define gate_open (gr[k].gate==OPEN)
#define gate_wanted (gr[k].gate==WANTED)
#define rx_claim (rx_kind==CLAIM)
#define rx_notice (rx_kind==NOTICE)
#define rx_grant (rx_kind==GRANT)
#define rx_released (rx_kind==RELEASED)
#define rx_goodbye (rx_kind==GOODBYE)
#define p_owns owns(rx_st)
#define p_active (rx_st==ACTIVE || rx_st==RELEASING)
#define p_solo (rx_st==SOLO)
#define p_term 1
#define accept 1
#define fresh (rx_echo<=ACK)
#define echo_since (rx_echo<=gr[k].since)
#define echo_after (rx_echo<=gr[k].since)
#define echo_able (rx_echo<=gr[k].since)
#define echo_doubt (rx_echo<gr[k].doubt)
#define claimed (gr[k].bid>0 && rx_echo<gr[k].bid)
#define current (rx_echo<=DEAD && (gr[k].hold==0 || rx_echo<=HOLD-gr[k].hold))
#define wins_claim (gr[k].bid>0 && n==0)
#define s_idle (gr[k].said>0 && !owns(gr[k].said))
#define s_accept 1
#define s_isolated (gr[k].said==ISOLATED)
#define p_armed (gr[k].said==ARMED)
#define p_cannot (gr[k].said>0 && (nd[n].spas || nd[n].gone || gr[k].said==MAINTENANCE || gr[k].said==FAILED))
#define p_begs 0
#define twoway (nd[n].ack<=ACK)
#define echo_ack (nd[n].ack<=gr[k].since && gr[k].since>ACK)
#define p_hears (nd[n].ack<=DEAD+ACK)
#define unacked (gr[k].adopted && !nd[n].contact -> gr[k].since>ACK : nd[n].ack>ACK)
#define sure_adopted (!gr[k].adopted || MODE==FENCE || nd[n].contact)
#define in_contact nd[n].contact
#define deaf (nd[n].sil<=DEAD && nd[n].ack>ACK)
#define deaf_long (nd[n].sil<=DEAD && nd[n].ack>2*DEAD+1)
#define silent_dead (nd[n].sil>DEAD && nd[n].lis<LISTEN)
#define silent_owner (nd[n].sil>DEAD+(k%G)*RACE && nd[n].lis<LISTEN)
#define silent_race (nd[n].sil>DEAD+RACE && nd[n].lis<LISTEN)
#define silent_boot (nd[n].sil>INIT && nd[n].lis<LISTEN)
#define silent_soon (nd[n].lis<LISTEN && nd[n].sil>DEAD && (gr[k].st==ARMED -> nd[n].sil+1>=TAKE : MODE==SILENCE && nd[n].sil+LONGPROBE>INIT+(n!=k%G -> TAKE : 0)))
#define silent_take (nd[n].sil>=TAKE && nd[n].lis==0)
#define silent_init (nd[n].sil>=INIT+(n!=k%G -> TAKE : 0) && nd[n].lis==0)
#define probed (gr[k].pr==2 && !gr[k].pf)
#define probed_long (gr[k].pr==LONGPROBE && !gr[k].pf)
#define probing (gr[k].pr>0)
#define rivalled (gr[k].gate==WANTED && gr[k].pf)
#define still_true (MODE!=SILENCE || nd[n].ack<=ACK || gr[k].sure || (p_cannot && nd[n].sil<=DEAD) || (gr[k].pr==(gr[k].parm -> 2 : LONGPROBE) && !gr[k].pf))
#define may_fence (nd[n].contact || nd[n].right || nd[n].token)
#define fencing (gr[k].fw || nd[n].fly>TF)
#define proven (gr[k].fw || (nd[n].sil>DEAD && gr[k].st!=SOLO && (nd[n].contact || nd[n].right || nd[n].token)))
#define barred 0
#define cannot_prove 0
#define told_release (w.ord==1)
#define told_leave (w.ord==2)
#define told_maintain (w.ord==3)
#define told_resume (w.ord==4 || healed)
#define told_dead (w.ord==5)
#ifdef MUTANTS
#define DROP_adopt_lease_held c_expr { dropped[1] }
#define DROP_adopt_passive c_expr { dropped[2] }
#define DROP_stall_fence_long c_expr { dropped[3] }
#define DROP_stall_other_long c_expr { dropped[4] }
#define DROP_stall_idle_long c_expr { dropped[5] }
#define DROP_contact_fresh c_expr { dropped[6] }
#define DROP_rejoin_fresh c_expr { dropped[7] }
#define DROP_rejoin_echo_since c_expr { dropped[8] }
#define DROP_spoke_p_begs c_expr { dropped[9] }
#define DROP_believed_doubting c_expr { dropped[10] }
#define DROP_believed_rx_claim c_expr { dropped[11] }
#define DROP_believed_echo_doubt c_expr { dropped[12] }
#define DROP_believed_p_owns c_expr { dropped[13] }
#define DROP_noticed_rx_notice c_expr { dropped[14] }
#define DROP_noticed_out_rx_notice c_expr { dropped[15] }
#define DROP_grant_rx_claim c_expr { dropped[16] }
#define DROP_grant_wins_claim c_expr { dropped[17] }
#define DROP_grant_armed_rx_claim c_expr { dropped[18] }
#define DROP_doubt_rx_claim c_expr { dropped[19] }
#define DROP_doubt_gate_open c_expr { dropped[20] }
#define DROP_doubt_doubting c_expr { dropped[21] }
#define DROP_yield_rx_claim c_expr { dropped[22] }
#define DROP_yield_gate_open c_expr { dropped[23] }
#define DROP_yield_releasing_rx_claim c_expr { dropped[24] }
#define DROP_conflict_lose_rx_claim c_expr { dropped[25] }
#define DROP_conflict_lose_rx_notice c_expr { dropped[26] }
#define DROP_conflict_lose_p_owns c_expr { dropped[27] }
#define DROP_conflict_win_rx_claim c_expr { dropped[28] }
#define DROP_conflict_win_rx_notice c_expr { dropped[29] }
#define DROP_conflict_win_p_owns c_expr { dropped[30] }
#define DROP_arm_rx_claim c_expr { dropped[31] }
#define DROP_arm_rx_notice c_expr { dropped[32] }
#define DROP_arm_fresh c_expr { dropped[33] }
#define DROP_arm_p_active c_expr { dropped[34] }
#define DROP_arm_echo_able c_expr { dropped[35] }
#define DROP_arm_passive c_expr { dropped[36] }
#define DROP_arm_cannot_prove c_expr { dropped[37] }
#define DROP_arm_accept c_expr { dropped[38] }
#define DROP_disarm_solo_rx_claim c_expr { dropped[39] }
#define DROP_disarm_solo_rx_notice c_expr { dropped[40] }
#define DROP_disarm_solo_fresh c_expr { dropped[41] }
#define DROP_disarm_solo_p_solo c_expr { dropped[42] }
#define DROP_disarm_idle_rx_claim c_expr { dropped[43] }
#define DROP_disarm_idle_rx_notice c_expr { dropped[44] }
#define DROP_disarm_idle_fresh c_expr { dropped[45] }
#define DROP_disarm_idle_p_owns c_expr { dropped[46] }
#define DROP_unsolo_rx_claim c_expr { dropped[47] }
#define DROP_unsolo_rx_notice c_expr { dropped[48] }
#define DROP_unsolo_fresh c_expr { dropped[49] }
#define DROP_unsolo_p_owns c_expr { dropped[50] }
#define DROP_unsolo_echo_after c_expr { dropped[51] }
#define DROP_unsolo_p_cannot c_expr { dropped[52] }
#define DROP_solo_passive_rx_claim c_expr { dropped[53] }
#define DROP_solo_passive_rx_notice c_expr { dropped[54] }
#define DROP_solo_passive_fresh c_expr { dropped[55] }
#define DROP_solo_passive_p_owns c_expr { dropped[56] }
#define DROP_solo_passive_p_cannot c_expr { dropped[57] }
#define DROP_solo_goodbye_rx_goodbye c_expr { dropped[58] }
#define DROP_solo_goodbye_p_owns c_expr { dropped[59] }
#define DROP_take_grant_rx_grant c_expr { dropped[60] }
#define DROP_take_grant_claimed c_expr { dropped[61] }
#define DROP_take_grant_current c_expr { dropped[62] }
#define DROP_take_grant_holding c_expr { dropped[63] }
#define DROP_take_grant_passive c_expr { dropped[64] }
#define DROP_take_grant_accept c_expr { dropped[65] }
#define DROP_take_released_rx_released c_expr { dropped[66] }
#define DROP_take_released_fresh c_expr { dropped[67] }
#define DROP_take_released_current c_expr { dropped[68] }
#define DROP_take_released_p_term c_expr { dropped[69] }
#define DROP_take_released_holding c_expr { dropped[70] }
#define DROP_take_released_p_owns c_expr { dropped[71] }
#define DROP_take_released_passive c_expr { dropped[72] }
#define DROP_take_released_accept c_expr { dropped[73] }
#define DROP_take_goodbye_rx_goodbye c_expr { dropped[74] }
#define DROP_take_goodbye_fresh c_expr { dropped[75] }
#define DROP_take_goodbye_current c_expr { dropped[76] }
#define DROP_take_goodbye_p_term c_expr { dropped[77] }
#define DROP_take_goodbye_p_owns c_expr { dropped[78] }
#define DROP_take_goodbye_passive c_expr { dropped[79] }
#define DROP_take_goodbye_accept c_expr { dropped[80] }
#define DROP_take_fence_proven c_expr { dropped[81] }
#define DROP_take_fence_passive c_expr { dropped[82] }
#define DROP_solo_fence_proven c_expr { dropped[83] }
#define DROP_release_told_release c_expr { dropped[84] }
#define DROP_release_out_told_leave c_expr { dropped[85] }
#define DROP_keep_gate_open c_expr { dropped[86] }
#define DROP_maintain_told_maintain c_expr { dropped[87] }
#define DROP_resume_told_resume c_expr { dropped[88] }
#define DROP_confirm_take_told_dead c_expr { dropped[89] }
#define DROP_confirm_take_silent_dead c_expr { dropped[90] }
#define DROP_confirm_take_passive c_expr { dropped[91] }
#define DROP_confirm_solo_told_dead c_expr { dropped[92] }
#define DROP_confirm_solo_silent_dead c_expr { dropped[93] }
#define DROP_goodbye_stopping c_expr { dropped[94] }
#define DROP_unacked_unacked c_expr { dropped[95] }
#define DROP_undecided_doubting c_expr { dropped[96] }
#define DROP_undecided_doubted c_expr { dropped[97] }
#define DROP_unheard_deaf c_expr { dropped[98] }
#define DROP_unheard_p_armed c_expr { dropped[99] }
#define DROP_failed_over_twoway c_expr { dropped[100] }
#define DROP_failed_over_echo_ack c_expr { dropped[101] }
#define DROP_claim_idle_twoway c_expr { dropped[102] }
#define DROP_claim_idle_s_idle c_expr { dropped[103] }
#define DROP_claim_idle_holding c_expr { dropped[104] }
#define DROP_claim_idle_passive c_expr { dropped[105] }
#define DROP_claim_silent_silent_dead c_expr { dropped[106] }
#define DROP_claim_silent_passive c_expr { dropped[107] }
#define DROP_take_silence_silent_take c_expr { dropped[108] }
#define DROP_take_silence_probed c_expr { dropped[109] }
#define DROP_take_silence_holding c_expr { dropped[110] }
#define DROP_take_silence_passive c_expr { dropped[111] }
#define DROP_take_silence_s_accept c_expr { dropped[112] }
#define DROP_take_boot_silent_init c_expr { dropped[113] }
#define DROP_take_boot_probed_long c_expr { dropped[114] }
#define DROP_take_boot_holding c_expr { dropped[115] }
#define DROP_take_boot_passive c_expr { dropped[116] }
#define DROP_take_boot_s_accept c_expr { dropped[117] }
#define DROP_take_lease_silent_take c_expr { dropped[118] }
#define DROP_take_lease_probed c_expr { dropped[119] }
#define DROP_take_lease_holding c_expr { dropped[120] }
#define DROP_take_lease_passive c_expr { dropped[121] }
#define DROP_take_lease_s_accept c_expr { dropped[122] }
#define DROP_take_isolated_s_isolated c_expr { dropped[123] }
#define DROP_take_isolated_silent_dead c_expr { dropped[124] }
#define DROP_take_isolated_p_hears c_expr { dropped[125] }
#define DROP_take_isolated_holding c_expr { dropped[126] }
#define DROP_take_isolated_passive c_expr { dropped[127] }
#define DROP_take_isolated_s_accept c_expr { dropped[128] }
#define DROP_probe_silent_soon c_expr { dropped[129] }
#define DROP_probe_probing c_expr { dropped[130] }
#define DROP_probe_passive c_expr { dropped[131] }
#define DROP_probe_lonely_has_fence c_expr { dropped[132] }
#define DROP_probe_lonely_silent_boot c_expr { dropped[133] }
#define DROP_probe_lonely_probing c_expr { dropped[134] }
#define DROP_probe_lonely_passive c_expr { dropped[135] }
#define DROP_probe_again_gate_wanted c_expr { dropped[136] }
#define DROP_probe_again_twoway c_expr { dropped[137] }
#define DROP_probe_again_probing c_expr { dropped[138] }
#define DROP_rival_gate_open c_expr { dropped[139] }
#define DROP_rival_rivalled c_expr { dropped[140] }
#define DROP_repeat_holding c_expr { dropped[141] }
#define DROP_fence_owner_silent_owner c_expr { dropped[142] }
#define DROP_fence_owner_in_contact c_expr { dropped[143] }
#define DROP_fence_owner_p_cannot c_expr { dropped[144] }
#define DROP_fence_owner_fencing c_expr { dropped[145] }
#define DROP_fence_owner_barred c_expr { dropped[146] }
#define DROP_fence_deaf_deaf_long c_expr { dropped[147] }
#define DROP_fence_deaf_in_contact c_expr { dropped[148] }
#define DROP_fence_deaf_p_cannot c_expr { dropped[149] }
#define DROP_fence_deaf_fencing c_expr { dropped[150] }
#define DROP_fence_deaf_barred c_expr { dropped[151] }
#define DROP_fence_standby_silent_race c_expr { dropped[152] }
#define DROP_fence_standby_may_fence c_expr { dropped[153] }
#define DROP_fence_standby_passive c_expr { dropped[154] }
#define DROP_fence_standby_fencing c_expr { dropped[155] }
#define DROP_fence_standby_barred c_expr { dropped[156] }
#define DROP_fence_boot_silent_boot c_expr { dropped[157] }
#define DROP_fence_boot_may_fence c_expr { dropped[158] }
#define DROP_fence_boot_passive c_expr { dropped[159] }
#define DROP_fence_boot_fencing c_expr { dropped[160] }
#define DROP_fence_boot_barred c_expr { dropped[161] }
#define DROP_fence_untouched_silent_boot c_expr { dropped[162] }
#define DROP_fence_untouched_in_contact c_expr { dropped[163] }
#define DROP_fence_untouched_may_fence c_expr { dropped[164] }
#define DROP_fence_untouched_passive c_expr { dropped[165] }
#define DROP_fence_untouched_fencing c_expr { dropped[166] }
#define DROP_fence_untouched_barred c_expr { dropped[167] }
#define DROP_fence_lonely_has_fence c_expr { dropped[168] }
#define DROP_fence_lonely_silent_boot c_expr { dropped[169] }
#define DROP_fence_lonely_probed_long c_expr { dropped[170] }
#define DROP_fence_lonely_may_fence c_expr { dropped[171] }
#define DROP_fence_lonely_passive c_expr { dropped[172] }
#define DROP_fence_lonely_fencing c_expr { dropped[173] }
#define DROP_fence_lonely_barred c_expr { dropped[174] }
#define DROP_open_gate_wanted c_expr { dropped[175] }
#define DROP_open_still_true c_expr { dropped[176] }
#define DROP_renew_sure_gate_open c_expr { dropped[177] }
#define DROP_renew_sure_doubting c_expr { dropped[178] }
#define DROP_renew_sure_sure_adopted c_expr { dropped[179] }
#define DROP_renew_acked_gate_open c_expr { dropped[180] }
#define DROP_renew_acked_doubting c_expr { dropped[181] }
#define DROP_renew_acked_sure_adopted c_expr { dropped[182] }
#define DROP_renew_acked_unacked c_expr { dropped[183] }
#define DROP_renew_solo_gate_open c_expr { dropped[184] }
#define DROP_renew_solo_doubting c_expr { dropped[185] }
#define DROP_renew_solo_sure_adopted c_expr { dropped[186] }
#else
#define DROP_adopt_lease_held 0
#define DROP_adopt_passive 0
#define DROP_stall_fence_long 0
#define DROP_stall_other_long 0
#define DROP_stall_idle_long 0
#define DROP_contact_fresh 0
#define DROP_rejoin_fresh 0
#define DROP_rejoin_echo_since 0
#define DROP_spoke_p_begs 0
#define DROP_believed_doubting 0
#define DROP_believed_rx_claim 0
#define DROP_believed_echo_doubt 0
#define DROP_believed_p_owns 0
#define DROP_noticed_rx_notice 0
#define DROP_noticed_out_rx_notice 0
#define DROP_grant_rx_claim 0
#define DROP_grant_wins_claim 0
#define DROP_grant_armed_rx_claim 0
#define DROP_doubt_rx_claim 0
#define DROP_doubt_gate_open 0
#define DROP_doubt_doubting 0
#define DROP_yield_rx_claim 0
#define DROP_yield_gate_open 0
#define DROP_yield_releasing_rx_claim 0
#define DROP_conflict_lose_rx_claim 0
#define DROP_conflict_lose_rx_notice 0
#define DROP_conflict_lose_p_owns 0
#define DROP_conflict_win_rx_claim 0
#define DROP_conflict_win_rx_notice 0
#define DROP_conflict_win_p_owns 0
#define DROP_arm_rx_claim 0
#define DROP_arm_rx_notice 0
#define DROP_arm_fresh 0
#define DROP_arm_p_active 0
#define DROP_arm_echo_able 0
#define DROP_arm_passive 0
#define DROP_arm_cannot_prove 0
#define DROP_arm_accept 0
#define DROP_disarm_solo_rx_claim 0
#define DROP_disarm_solo_rx_notice 0
#define DROP_disarm_solo_fresh 0
#define DROP_disarm_solo_p_solo 0
#define DROP_disarm_idle_rx_claim 0
#define DROP_disarm_idle_rx_notice 0
#define DROP_disarm_idle_fresh 0
#define DROP_disarm_idle_p_owns 0
#define DROP_unsolo_rx_claim 0
#define DROP_unsolo_rx_notice 0
#define DROP_unsolo_fresh 0
#define DROP_unsolo_p_owns 0
#define DROP_unsolo_echo_after 0
#define DROP_unsolo_p_cannot 0
#define DROP_solo_passive_rx_claim 0
#define DROP_solo_passive_rx_notice 0
#define DROP_solo_passive_fresh 0
#define DROP_solo_passive_p_owns 0
#define DROP_solo_passive_p_cannot 0
#define DROP_solo_goodbye_rx_goodbye 0
#define DROP_solo_goodbye_p_owns 0
#define DROP_take_grant_rx_grant 0
#define DROP_take_grant_claimed 0
#define DROP_take_grant_current 0
#define DROP_take_grant_holding 0
#define DROP_take_grant_passive 0
#define DROP_take_grant_accept 0
#define DROP_take_released_rx_released 0
#define DROP_take_released_fresh 0
#define DROP_take_released_current 0
#define DROP_take_released_p_term 0
#define DROP_take_released_holding 0
#define DROP_take_released_p_owns 0
#define DROP_take_released_passive 0
#define DROP_take_released_accept 0
#define DROP_take_goodbye_rx_goodbye 0
#define DROP_take_goodbye_fresh 0
#define DROP_take_goodbye_current 0
#define DROP_take_goodbye_p_term 0
#define DROP_take_goodbye_p_owns 0
#define DROP_take_goodbye_passive 0
#define DROP_take_goodbye_accept 0
#define DROP_take_fence_proven 0
#define DROP_take_fence_passive 0
#define DROP_solo_fence_proven 0
#define DROP_release_told_release 0
#define DROP_release_out_told_leave 0
#define DROP_keep_gate_open 0
#define DROP_maintain_told_maintain 0
#define DROP_resume_told_resume 0
#define DROP_confirm_take_told_dead 0
#define DROP_confirm_take_silent_dead 0
#define DROP_confirm_take_passive 0
#define DROP_confirm_solo_told_dead 0
#define DROP_confirm_solo_silent_dead 0
#define DROP_goodbye_stopping 0
#define DROP_unacked_unacked 0
#define DROP_undecided_doubting 0
#define DROP_undecided_doubted 0
#define DROP_unheard_deaf 0
#define DROP_unheard_p_armed 0
#define DROP_failed_over_twoway 0
#define DROP_failed_over_echo_ack 0
#define DROP_claim_idle_twoway 0
#define DROP_claim_idle_s_idle 0
#define DROP_claim_idle_holding 0
#define DROP_claim_idle_passive 0
#define DROP_claim_silent_silent_dead 0
#define DROP_claim_silent_passive 0
#define DROP_take_silence_silent_take 0
#define DROP_take_silence_probed 0
#define DROP_take_silence_holding 0
#define DROP_take_silence_passive 0
#define DROP_take_silence_s_accept 0
#define DROP_take_boot_silent_init 0
#define DROP_take_boot_probed_long 0
#define DROP_take_boot_holding 0
#define DROP_take_boot_passive 0
#define DROP_take_boot_s_accept 0
#define DROP_take_lease_silent_take 0
#define DROP_take_lease_probed 0
#define DROP_take_lease_holding 0
#define DROP_take_lease_passive 0
#define DROP_take_lease_s_accept 0
#define DROP_take_isolated_s_isolated 0
#define DROP_take_isolated_silent_dead 0
#define DROP_take_isolated_p_hears 0
#define DROP_take_isolated_holding 0
#define DROP_take_isolated_passive 0
#define DROP_take_isolated_s_accept 0
#define DROP_probe_silent_soon 0
#define DROP_probe_probing 0
#define DROP_probe_passive 0
#define DROP_probe_lonely_has_fence 0
#define DROP_probe_lonely_silent_boot 0
#define DROP_probe_lonely_probing 0
#define DROP_probe_lonely_passive 0
#define DROP_probe_again_gate_wanted 0
#define DROP_probe_again_twoway 0
#define DROP_probe_again_probing 0
#define DROP_rival_gate_open 0
#define DROP_rival_rivalled 0
#define DROP_repeat_holding 0
#define DROP_fence_owner_silent_owner 0
#define DROP_fence_owner_in_contact 0
#define DROP_fence_owner_p_cannot 0
#define DROP_fence_owner_fencing 0
#define DROP_fence_owner_barred 0
#define DROP_fence_deaf_deaf_long 0
#define DROP_fence_deaf_in_contact 0
#define DROP_fence_deaf_p_cannot 0
#define DROP_fence_deaf_fencing 0
#define DROP_fence_deaf_barred 0
#define DROP_fence_standby_silent_race 0
#define DROP_fence_standby_may_fence 0
#define DROP_fence_standby_passive 0
#define DROP_fence_standby_fencing 0
#define DROP_fence_standby_barred 0
#define DROP_fence_boot_silent_boot 0
#define DROP_fence_boot_may_fence 0
#define DROP_fence_boot_passive 0
#define DROP_fence_boot_fencing 0
#define DROP_fence_boot_barred 0
#define DROP_fence_untouched_silent_boot 0
#define DROP_fence_untouched_in_contact 0
#define DROP_fence_untouched_may_fence 0
#define DROP_fence_untouched_passive 0
#define DROP_fence_untouched_fencing 0
#define DROP_fence_untouched_barred 0
#define DROP_fence_lonely_has_fence 0
#define DROP_fence_lonely_silent_boot 0
#define DROP_fence_lonely_probed_long 0
#define DROP_fence_lonely_may_fence 0
#define DROP_fence_lonely_passive 0
#define DROP_fence_lonely_fencing 0
#define DROP_fence_lonely_barred 0
#define DROP_open_gate_wanted 0
#define DROP_open_still_true 0
#define DROP_renew_sure_gate_open 0
#define DROP_renew_sure_doubting 0
#define DROP_renew_sure_sure_adopted 0
#define DROP_renew_acked_gate_open 0
#define DROP_renew_acked_doubting 0
#define DROP_renew_acked_sure_adopted 0
#define DROP_renew_acked_unacked 0
#define DROP_renew_solo_gate_open 0
#define DROP_renew_solo_doubting 0
#define DROP_renew_solo_sure_adopted 0
#endif

inline on_start() {
  if
  :: (gr[k].st==BOOT) && (lease_held || DROP_adopt_lease_held) && (!passive || DROP_adopt_passive) -> seen(0); become(ACTIVE,1); do_adopt()  /* adopt */
  :: else
  fi
}

inline on_stall() {
  if
  :: w.alt ->
  if
  :: (gr[k].st==ARMED || gr[k].st==FENCING) && (long || DROP_stall_idle_long) -> seen(4); become(STANDBY,0)  /* stall_idle */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && !mode_fence && (long || DROP_stall_other_long) -> seen(3); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* stall_other */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_fence && (long || DROP_stall_fence_long) -> seen(2); become(STANDBY,0); do_close(); do_say_RELEASED()  /* stall_fence */
  :: else
  fi
  :: !w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_fence && (long || DROP_stall_fence_long) -> seen(2); become(STANDBY,0); do_close(); do_say_RELEASED()  /* stall_fence */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && !mode_fence && (long || DROP_stall_other_long) -> seen(3); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* stall_other */
  :: (gr[k].st==ARMED || gr[k].st==FENCING) && (long || DROP_stall_idle_long) -> seen(4); become(STANDBY,0)  /* stall_idle */
  :: else
  fi
  fi
}

inline on_lost() {
  if
  :: w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && !mode_fence -> seen(6); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* lost_other */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_fence -> seen(5); become(STANDBY,0); do_close(); do_say_RELEASED()  /* lost_fence */
  :: else
  fi
  :: !w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_fence -> seen(5); become(STANDBY,0); do_close(); do_say_RELEASED()  /* lost_fence */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && !mode_fence -> seen(6); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* lost_other */
  :: else
  fi
  fi
}

inline on_wake() {
  if
  :: (gr[k].st==BOOT) && (fresh || DROP_contact_fresh) -> seen(8); become(STANDBY,0)  /* contact */
  :: (gr[k].st==ISOLATED) && (fresh || DROP_rejoin_fresh) && (echo_since || DROP_rejoin_echo_since) -> seen(9); become(STANDBY,0)  /* rejoin */
  :: (gr[k].st==FENCING) && (!p_begs || DROP_spoke_p_begs) -> seen(10); become(STANDBY,0)  /* spoke */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (doubting || DROP_believed_doubting) && (!rx_claim || DROP_believed_rx_claim) && (echo_doubt || DROP_believed_echo_doubt) && (!p_owns || DROP_believed_p_owns) -> seen(11); skip; do_undoubt()  /* believed */
  :: else
  fi
}

inline on_says() {
  if
  :: w.alt ->
  if
  :: (gr[k].st==ACTIVE) && (!rx_claim || DROP_solo_passive_rx_claim) && (!rx_notice || DROP_solo_passive_rx_notice) && (fresh || DROP_solo_passive_fresh) && (!p_owns || DROP_solo_passive_p_owns) && (p_cannot || DROP_solo_passive_p_cannot) -> seen(26); become(SOLO,0)  /* solo_passive */
  :: (gr[k].st==SOLO) && (!rx_claim || DROP_unsolo_rx_claim) && (!rx_notice || DROP_unsolo_rx_notice) && (fresh || DROP_unsolo_fresh) && (!p_owns || DROP_unsolo_p_owns) && (echo_after || DROP_unsolo_echo_after) && (!p_cannot || DROP_unsolo_p_cannot) -> seen(25); become(ACTIVE,0)  /* unsolo */
  :: (gr[k].st==ARMED) && (!rx_claim || DROP_disarm_idle_rx_claim) && (!rx_notice || DROP_disarm_idle_rx_notice) && (fresh || DROP_disarm_idle_fresh) && (!p_owns || DROP_disarm_idle_p_owns) -> seen(23); become(STANDBY,0)  /* disarm_idle */
  :: (gr[k].st==ARMED) && (!rx_claim || DROP_disarm_solo_rx_claim) && (!rx_notice || DROP_disarm_solo_rx_notice) && (fresh || DROP_disarm_solo_fresh) && (p_solo || DROP_disarm_solo_p_solo) -> seen(22); become(STANDBY,0)  /* disarm_solo */
  :: (gr[k].st==STANDBY) && (!rx_claim || DROP_arm_rx_claim) && (!rx_notice || DROP_arm_rx_notice) && (fresh || DROP_arm_fresh) && (p_active || DROP_arm_p_active) && (echo_able || DROP_arm_echo_able) && (!passive || DROP_arm_passive) && (!cannot_prove || DROP_arm_cannot_prove) && (accept || DROP_arm_accept) -> seen(21); become(ARMED,0)  /* arm */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (!rx_claim || DROP_conflict_win_rx_claim) && (!rx_notice || DROP_conflict_win_rx_notice) && (p_owns || DROP_conflict_win_p_owns) -> seen(20); become(STANDBY,0); do_close()  /* conflict_win */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (!rx_claim || DROP_conflict_lose_rx_claim) && (!rx_notice || DROP_conflict_lose_rx_notice) && (p_owns || DROP_conflict_lose_p_owns) -> seen(19); become(STANDBY,0); do_close(); do_say_RELEASED()  /* conflict_lose */
  :: (gr[k].st==RELEASING) && (rx_claim || DROP_yield_releasing_rx_claim) && !mode_fence -> seen(18); become(STANDBY,0); do_close(); do_say_RELEASED()  /* yield_releasing */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (rx_claim || DROP_yield_rx_claim) && !mode_fence && (!gate_open || DROP_yield_gate_open) -> seen(17); become(STANDBY,0); do_close(); do_say_RELEASED()  /* yield */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (rx_claim || DROP_doubt_rx_claim) && !mode_fence && (gate_open || DROP_doubt_gate_open) && (!doubting || DROP_doubt_doubting) -> seen(16); skip; do_doubt(); do_say_BEAT()  /* doubt */
  :: (gr[k].st==ARMED) && (rx_claim || DROP_grant_armed_rx_claim) -> seen(15); become(STANDBY,0); do_say_GRANT()  /* grant_armed */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (rx_claim || DROP_grant_rx_claim) && (!wins_claim || DROP_grant_wins_claim) -> seen(14); skip; do_say_GRANT()  /* grant */
  :: (gr[k].st==MAINTENANCE) && (rx_notice || DROP_noticed_out_rx_notice) -> seen(13); become(FAILED,0)  /* noticed_out */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (rx_notice || DROP_noticed_rx_notice) -> seen(12); become(FAILED,0); do_close(); do_say_RELEASED()  /* noticed */
  :: else
  fi
  :: !w.alt ->
  if
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (rx_notice || DROP_noticed_rx_notice) -> seen(12); become(FAILED,0); do_close(); do_say_RELEASED()  /* noticed */
  :: (gr[k].st==MAINTENANCE) && (rx_notice || DROP_noticed_out_rx_notice) -> seen(13); become(FAILED,0)  /* noticed_out */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (rx_claim || DROP_grant_rx_claim) && (!wins_claim || DROP_grant_wins_claim) -> seen(14); skip; do_say_GRANT()  /* grant */
  :: (gr[k].st==ARMED) && (rx_claim || DROP_grant_armed_rx_claim) -> seen(15); become(STANDBY,0); do_say_GRANT()  /* grant_armed */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (rx_claim || DROP_doubt_rx_claim) && !mode_fence && (gate_open || DROP_doubt_gate_open) && (!doubting || DROP_doubt_doubting) -> seen(16); skip; do_doubt(); do_say_BEAT()  /* doubt */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (rx_claim || DROP_yield_rx_claim) && !mode_fence && (!gate_open || DROP_yield_gate_open) -> seen(17); become(STANDBY,0); do_close(); do_say_RELEASED()  /* yield */
  :: (gr[k].st==RELEASING) && (rx_claim || DROP_yield_releasing_rx_claim) && !mode_fence -> seen(18); become(STANDBY,0); do_close(); do_say_RELEASED()  /* yield_releasing */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (!rx_claim || DROP_conflict_lose_rx_claim) && (!rx_notice || DROP_conflict_lose_rx_notice) && (p_owns || DROP_conflict_lose_p_owns) -> seen(19); become(STANDBY,0); do_close(); do_say_RELEASED()  /* conflict_lose */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (!rx_claim || DROP_conflict_win_rx_claim) && (!rx_notice || DROP_conflict_win_rx_notice) && (p_owns || DROP_conflict_win_p_owns) -> seen(20); become(STANDBY,0); do_close()  /* conflict_win */
  :: (gr[k].st==STANDBY) && (!rx_claim || DROP_arm_rx_claim) && (!rx_notice || DROP_arm_rx_notice) && (fresh || DROP_arm_fresh) && (p_active || DROP_arm_p_active) && (echo_able || DROP_arm_echo_able) && (!passive || DROP_arm_passive) && (!cannot_prove || DROP_arm_cannot_prove) && (accept || DROP_arm_accept) -> seen(21); become(ARMED,0)  /* arm */
  :: (gr[k].st==ARMED) && (!rx_claim || DROP_disarm_solo_rx_claim) && (!rx_notice || DROP_disarm_solo_rx_notice) && (fresh || DROP_disarm_solo_fresh) && (p_solo || DROP_disarm_solo_p_solo) -> seen(22); become(STANDBY,0)  /* disarm_solo */
  :: (gr[k].st==ARMED) && (!rx_claim || DROP_disarm_idle_rx_claim) && (!rx_notice || DROP_disarm_idle_rx_notice) && (fresh || DROP_disarm_idle_fresh) && (!p_owns || DROP_disarm_idle_p_owns) -> seen(23); become(STANDBY,0)  /* disarm_idle */
  :: (gr[k].st==SOLO) && (!rx_claim || DROP_unsolo_rx_claim) && (!rx_notice || DROP_unsolo_rx_notice) && (fresh || DROP_unsolo_fresh) && (!p_owns || DROP_unsolo_p_owns) && (echo_after || DROP_unsolo_echo_after) && (!p_cannot || DROP_unsolo_p_cannot) -> seen(25); become(ACTIVE,0)  /* unsolo */
  :: (gr[k].st==ACTIVE) && (!rx_claim || DROP_solo_passive_rx_claim) && (!rx_notice || DROP_solo_passive_rx_notice) && (fresh || DROP_solo_passive_fresh) && (!p_owns || DROP_solo_passive_p_owns) && (p_cannot || DROP_solo_passive_p_cannot) -> seen(26); become(SOLO,0)  /* solo_passive */
  :: else
  fi
  fi
}

inline on_offer() {
  if
  :: (gr[k].st==ACTIVE) && (rx_goodbye || DROP_solo_goodbye_rx_goodbye) && (!p_owns || DROP_solo_goodbye_p_owns) -> seen(27); become(SOLO,0)  /* solo_goodbye */
  :: (gr[k].st==STANDBY || gr[k].st==ARMED) && (rx_grant || DROP_take_grant_rx_grant) && (claimed || DROP_take_grant_claimed) && (current || DROP_take_grant_current) && (!holding || DROP_take_grant_holding) && (!passive || DROP_take_grant_passive) && (accept || DROP_take_grant_accept) -> seen(28); become(ACTIVE,1); do_own()  /* take_grant */
  :: (gr[k].st==STANDBY || gr[k].st==ARMED) && (rx_released || DROP_take_released_rx_released) && (fresh || DROP_take_released_fresh) && (current || DROP_take_released_current) && (p_term || DROP_take_released_p_term) && (!holding || DROP_take_released_holding) && (!p_owns || DROP_take_released_p_owns) && (!passive || DROP_take_released_passive) && (accept || DROP_take_released_accept) -> seen(29); become(ACTIVE,1); do_own()  /* take_released */
  :: (gr[k].st==STANDBY || gr[k].st==ARMED) && (rx_goodbye || DROP_take_goodbye_rx_goodbye) && (fresh || DROP_take_goodbye_fresh) && (current || DROP_take_goodbye_current) && (p_term || DROP_take_goodbye_p_term) && (!p_owns || DROP_take_goodbye_p_owns) && (!passive || DROP_take_goodbye_passive) && (accept || DROP_take_goodbye_accept) -> seen(30); become(SOLO,1); do_own()  /* take_goodbye */
  :: else
  fi
}

inline on_proof() {
  if
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED) && (proven || DROP_take_fence_proven) && (!passive || DROP_take_fence_passive) -> seen(31); become(SOLO,1); do_own()  /* take_fence */
  :: (gr[k].st==ACTIVE) && (proven || DROP_solo_fence_proven) -> seen(32); become(SOLO,0)  /* solo_fence */
  :: else
  fi
}

inline on_order() {
  if
  :: w.alt ->
  if
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (stopping || DROP_goodbye_stopping) -> seen(46); skip; do_say_GOODBYE()  /* goodbye */
  :: (gr[k].st==ACTIVE) && (told_dead || DROP_confirm_solo_told_dead) && (silent_dead || DROP_confirm_solo_silent_dead) -> seen(41); become(SOLO,0)  /* confirm_solo */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED) && (told_dead || DROP_confirm_take_told_dead) && (silent_dead || DROP_confirm_take_silent_dead) && (!passive || DROP_confirm_take_passive) -> seen(40); become(SOLO,1); do_own(); do_sure()  /* confirm_take */
  :: (gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (told_resume || DROP_resume_told_resume) -> seen(39); become(STANDBY,0); do_resume()  /* resume */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (told_maintain || DROP_maintain_told_maintain) -> seen(38); become(MAINTENANCE,0)  /* maintain */
  :: (gr[k].st==RELEASING) && (gate_open || DROP_keep_gate_open) && !w.lazy -> seen(36); become(ACTIVE,0); do_stay()  /* keep */
  :: (gr[k].st==RELEASING) && !w.lazy -> seen(35); become(STANDBY,0); do_close(); do_say_RELEASED()  /* released */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (told_leave || DROP_release_out_told_leave) -> seen(34); become(RELEASING,0); do_out()  /* release_out */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (told_release || DROP_release_told_release) -> seen(33); become(RELEASING,0)  /* release */
  :: else
  fi
  :: !w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (told_release || DROP_release_told_release) -> seen(33); become(RELEASING,0)  /* release */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (told_leave || DROP_release_out_told_leave) -> seen(34); become(RELEASING,0); do_out()  /* release_out */
  :: (gr[k].st==RELEASING) && !w.lazy -> seen(35); become(STANDBY,0); do_close(); do_say_RELEASED()  /* released */
  :: (gr[k].st==RELEASING) && (gate_open || DROP_keep_gate_open) && !w.lazy -> seen(36); become(ACTIVE,0); do_stay()  /* keep */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (told_maintain || DROP_maintain_told_maintain) -> seen(38); become(MAINTENANCE,0)  /* maintain */
  :: (gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (told_resume || DROP_resume_told_resume) -> seen(39); become(STANDBY,0); do_resume()  /* resume */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED) && (told_dead || DROP_confirm_take_told_dead) && (silent_dead || DROP_confirm_take_silent_dead) && (!passive || DROP_confirm_take_passive) -> seen(40); become(SOLO,1); do_own(); do_sure()  /* confirm_take */
  :: (gr[k].st==ACTIVE) && (told_dead || DROP_confirm_solo_told_dead) && (silent_dead || DROP_confirm_solo_silent_dead) -> seen(41); become(SOLO,0)  /* confirm_solo */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (stopping || DROP_goodbye_stopping) -> seen(46); skip; do_say_GOODBYE()  /* goodbye */
  :: else
  fi
  fi
}

inline on_claim() {
  if
  :: (gr[k].st==STANDBY) && (twoway || DROP_claim_idle_twoway) && (s_idle || DROP_claim_idle_s_idle) && (!holding || DROP_claim_idle_holding) && (!passive || DROP_claim_idle_passive) && !w.lazy -> seen(51); skip; do_say_CLAIM()  /* claim_idle */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==ISOLATED) && !mode_fence && (silent_dead || DROP_claim_silent_silent_dead) && (!passive || DROP_claim_silent_passive) -> seen(52); skip; do_warn_CLAIM()  /* claim_silent */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING || gr[k].st==ISOLATED || gr[k].st==MAINTENANCE || gr[k].st==FAILED) && (holding || DROP_repeat_holding) -> seen(61); skip; do_repeat_RELEASED()  /* repeat */
  :: else
  fi
}

inline on_probe() {
  if
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==ISOLATED || gr[k].st==FENCING) && !mode_fence && (silent_soon || DROP_probe_silent_soon) && (!probing || DROP_probe_probing) && (!passive || DROP_probe_passive) -> seen(57); skip; do_probe()  /* probe */
  :: (gr[k].st==BOOT || gr[k].st==ISOLATED || gr[k].st==FENCING) && mode_lease && (has_fence || DROP_probe_lonely_has_fence) && (silent_boot || DROP_probe_lonely_silent_boot) && (!probing || DROP_probe_lonely_probing) && (!passive || DROP_probe_lonely_passive) -> seen(58); skip; do_probe()  /* probe_lonely */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && mode_silence && (gate_wanted || DROP_probe_again_gate_wanted) && (!twoway || DROP_probe_again_twoway) && (!probing || DROP_probe_again_probing) -> seen(59); skip; do_probe()  /* probe_again */
  :: else
  fi
}

inline on_tick() {
  if
  :: w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (!gate_open || DROP_rival_gate_open) && (rivalled || DROP_rival_rivalled) -> seen(60); become(STANDBY,0); do_close(); do_say_RELEASED()  /* rival */
  :: (gr[k].st==ARMED) && mode_lease && (s_isolated || DROP_take_isolated_s_isolated) && (!silent_dead || DROP_take_isolated_silent_dead) && (!p_hears || DROP_take_isolated_p_hears) && (!holding || DROP_take_isolated_holding) && (!passive || DROP_take_isolated_passive) && (s_accept || DROP_take_isolated_s_accept) -> seen(56); become(SOLO,1); do_own()  /* take_isolated */
  :: (gr[k].st==ARMED) && mode_lease && (silent_take || DROP_take_lease_silent_take) && (probed || DROP_take_lease_probed) && (!holding || DROP_take_lease_holding) && (!passive || DROP_take_lease_passive) && (s_accept || DROP_take_lease_s_accept) -> seen(55); become(SOLO,1); do_own()  /* take_lease */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ISOLATED) && mode_silence && (silent_init || DROP_take_boot_silent_init) && (probed_long || DROP_take_boot_probed_long) && (!holding || DROP_take_boot_holding) && (!passive || DROP_take_boot_passive) && (s_accept || DROP_take_boot_s_accept) -> seen(54); become(ACTIVE,1); do_own()  /* take_boot */
  :: (gr[k].st==ARMED) && mode_silence && (silent_take || DROP_take_silence_silent_take) && (probed || DROP_take_silence_probed) && (!holding || DROP_take_silence_holding) && (!passive || DROP_take_silence_passive) && (s_accept || DROP_take_silence_s_accept) -> seen(53); become(ACTIVE,1); do_own()  /* take_silence */
  :: (gr[k].st==FAILED) && (twoway || DROP_failed_over_twoway) && (echo_ack || DROP_failed_over_echo_ack) && !w.lazy -> seen(50); become(STANDBY,0); do_resume()  /* failed_over */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_silence && (deaf || DROP_unheard_deaf) && (p_armed || DROP_unheard_p_armed) && !w.lazy -> seen(49); become(STANDBY,0); do_close(); do_say_RELEASED()  /* unheard */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (doubting || DROP_undecided_doubting) && (doubted || DROP_undecided_doubted) -> seen(48); become(STANDBY,0); do_close(); do_say_RELEASED()  /* undecided */
  :: (gr[k].st==ACTIVE || gr[k].st==RELEASING) && mode_lease && (unacked || DROP_unacked_unacked) -> seen(47); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* unacked */
  :: else
  fi
  :: !w.alt ->
  if
  :: (gr[k].st==ACTIVE || gr[k].st==RELEASING) && mode_lease && (unacked || DROP_unacked_unacked) -> seen(47); become(ISOLATED,0); do_close(); do_say_RELEASED()  /* unacked */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (doubting || DROP_undecided_doubting) && (doubted || DROP_undecided_doubted) -> seen(48); become(STANDBY,0); do_close(); do_say_RELEASED()  /* undecided */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && mode_silence && (deaf || DROP_unheard_deaf) && (p_armed || DROP_unheard_p_armed) && !w.lazy -> seen(49); become(STANDBY,0); do_close(); do_say_RELEASED()  /* unheard */
  :: (gr[k].st==FAILED) && (twoway || DROP_failed_over_twoway) && (echo_ack || DROP_failed_over_echo_ack) && !w.lazy -> seen(50); become(STANDBY,0); do_resume()  /* failed_over */
  :: (gr[k].st==ARMED) && mode_silence && (silent_take || DROP_take_silence_silent_take) && (probed || DROP_take_silence_probed) && (!holding || DROP_take_silence_holding) && (!passive || DROP_take_silence_passive) && (s_accept || DROP_take_silence_s_accept) -> seen(53); become(ACTIVE,1); do_own()  /* take_silence */
  :: (gr[k].st==BOOT || gr[k].st==STANDBY || gr[k].st==ISOLATED) && mode_silence && (silent_init || DROP_take_boot_silent_init) && (probed_long || DROP_take_boot_probed_long) && (!holding || DROP_take_boot_holding) && (!passive || DROP_take_boot_passive) && (s_accept || DROP_take_boot_s_accept) -> seen(54); become(ACTIVE,1); do_own()  /* take_boot */
  :: (gr[k].st==ARMED) && mode_lease && (silent_take || DROP_take_lease_silent_take) && (probed || DROP_take_lease_probed) && (!holding || DROP_take_lease_holding) && (!passive || DROP_take_lease_passive) && (s_accept || DROP_take_lease_s_accept) -> seen(55); become(SOLO,1); do_own()  /* take_lease */
  :: (gr[k].st==ARMED) && mode_lease && (s_isolated || DROP_take_isolated_s_isolated) && (!silent_dead || DROP_take_isolated_silent_dead) && (!p_hears || DROP_take_isolated_p_hears) && (!holding || DROP_take_isolated_holding) && (!passive || DROP_take_isolated_passive) && (s_accept || DROP_take_isolated_s_accept) -> seen(56); become(SOLO,1); do_own()  /* take_isolated */
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (!gate_open || DROP_rival_gate_open) && (rivalled || DROP_rival_rivalled) -> seen(60); become(STANDBY,0); do_close(); do_say_RELEASED()  /* rival */
  :: else
  fi
  fi
}

inline on_fence() {
  if
  :: (gr[k].st==ACTIVE) && mode_fence && (silent_owner || DROP_fence_owner_silent_owner) && (in_contact || DROP_fence_owner_in_contact) && (!p_cannot || DROP_fence_owner_p_cannot) && (!fencing || DROP_fence_owner_fencing) && (!barred || DROP_fence_owner_barred) -> seen(62); skip; do_fence(); do_say_NOTICE()  /* fence_owner */
  :: (gr[k].st==ACTIVE) && mode_fence && (deaf_long || DROP_fence_deaf_deaf_long) && (in_contact || DROP_fence_deaf_in_contact) && (!p_cannot || DROP_fence_deaf_p_cannot) && (!fencing || DROP_fence_deaf_fencing) && (!barred || DROP_fence_deaf_barred) -> seen(63); skip; do_fence(); do_say_NOTICE()  /* fence_deaf */
  :: (gr[k].st==STANDBY || gr[k].st==ARMED || gr[k].st==FENCING) && mode_fence && (silent_race || DROP_fence_standby_silent_race) && (may_fence || DROP_fence_standby_may_fence) && (!passive || DROP_fence_standby_passive) && (!fencing || DROP_fence_standby_fencing) && (!barred || DROP_fence_standby_barred) -> seen(64); become(FENCING,0); do_fence()  /* fence_standby */
  :: (gr[k].st==BOOT) && mode_fence && (silent_boot || DROP_fence_boot_silent_boot) && (may_fence || DROP_fence_boot_may_fence) && (!passive || DROP_fence_boot_passive) && (!fencing || DROP_fence_boot_fencing) && (!barred || DROP_fence_boot_barred) -> seen(67); become(FENCING,0); do_fence()  /* fence_boot */
  :: (gr[k].st==STANDBY) && mode_fence && (silent_boot || DROP_fence_untouched_silent_boot) && (!in_contact || DROP_fence_untouched_in_contact) && (may_fence || DROP_fence_untouched_may_fence) && (!passive || DROP_fence_untouched_passive) && (!fencing || DROP_fence_untouched_fencing) && (!barred || DROP_fence_untouched_barred) -> seen(68); become(FENCING,0); do_fence()  /* fence_untouched */
  :: (gr[k].st==BOOT || gr[k].st==ISOLATED || gr[k].st==FENCING) && mode_lease && (has_fence || DROP_fence_lonely_has_fence) && (silent_boot || DROP_fence_lonely_silent_boot) && (probed_long || DROP_fence_lonely_probed_long) && (may_fence || DROP_fence_lonely_may_fence) && (!passive || DROP_fence_lonely_passive) && (!fencing || DROP_fence_lonely_fencing) && (!barred || DROP_fence_lonely_barred) -> seen(69); become(FENCING,0); do_fence()  /* fence_lonely */
  :: else
  fi
}

inline on_gate() {
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO) && (gate_wanted || DROP_open_gate_wanted) && (still_true || DROP_open_still_true) -> seen(70); skip; do_ask_gate()  /* open */
  :: else
  fi
}

inline on_renew() {
  if
  :: (gr[k].st==ACTIVE || gr[k].st==SOLO || gr[k].st==RELEASING) && (gate_open || DROP_renew_sure_gate_open) && (!doubting || DROP_renew_sure_doubting) && (sure_adopted || DROP_renew_sure_sure_adopted) && !mode_lease -> seen(71); skip; do_renew()  /* renew_sure */
  :: (gr[k].st==ACTIVE || gr[k].st==RELEASING) && (gate_open || DROP_renew_acked_gate_open) && (!doubting || DROP_renew_acked_doubting) && (sure_adopted || DROP_renew_acked_sure_adopted) && mode_lease && (!unacked || DROP_renew_acked_unacked) -> seen(72); skip; do_renew()  /* renew_acked */
  :: (gr[k].st==SOLO) && (gate_open || DROP_renew_solo_gate_open) && (!doubting || DROP_renew_solo_doubting) && (sure_adopted || DROP_renew_solo_sure_adopted) && mode_lease -> seen(73); skip; do_renew()  /* renew_solo */
  :: else
  fi
}
