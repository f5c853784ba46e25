"""timm's families: one small architecture for each way of building a network, at few pixels."""

from __future__ import annotations

from types import MappingProxyType

import timm
import torch
from torch import nn

# residual and plain convolutions, several branches, attention over channels or space
CONVOLUTIONS = (
    *("test_byobnet", "resnet10t", "resnetblur18", "resnet50_gn", "resnetrs50", "ecaresnet26t"),
    *("legacy_seresnet18", "skresnet18", "resnest14d", "res2net50_14w_8s", "gcresnext26ts"),
    *("resnetv2_50d_evos", "nf_resnet26", "test_nfnet", "nfnet_l0", "regnetx_002", "regnetz_005", "gernet_s"),
    *("densenet121", "rdnet_tiny", "dla34", "dpn48b", "hrnet_w18_small", "ese_vovnet19b_slim", "selecsls42"),
    *("cs3darknet_s", "cspresnet50", "darknet17", "tresnet_m", "inception_v4", "legacy_xception"),
    *("xception41", "hgnetv2_b0", "convmixer_768_32"),
    *("vgg11_bn", "inception_v3", "inception_resnet_v2", "nasnetalarge", "pnasnet5large", "cspnext_tiny"),
)
MOBILE = (
    *("test_efficientnet", "test_efficientnet_evos", "efficientnet_b0", "efficientnet_b0_gn"),
    *("efficientnet_cc_b0_4e", "efficientnet_lite0", "tf_efficientnetv2_b0", "mobilenetv2_035"),
    *("mobilenetv3_small_050", "mobilenetv4_conv_small_035", "mobilenetv4_hybrid_medium_075"),
    *("mnasnet_small", "mixnet_s", "fbnetc_100", "fbnetv3_b", "hardcorenas_a", "tinynet_e", "lcnet_035"),
    *("lcnetv2_small", "ghostnet_050", "ghostnetv2_100", "ghostnetv3_050", "rexnet_100", "mobileone_s0"),
    *("repvgg_a0", "repghostnet_050", "repvit_m0_9", "fasternet_t0", "starnet_s050", "shvit_s1"),
    *("fastvit_t8", "fastvit_sa12", "lowformer_b0", "cpubone_nano", "csatv2"),
)
# convolutions with the normalisation or the mixing of transformers, and mixers of tokens
METAFORMERS = (
    *("convnext_atto", "convnext_zepto_rms", "convnextv2_atto", "inception_next_atto", "test_mambaout"),
    *("iformer_t", "poolformer_s12", "poolformerv2_s12", "convformer_s18", "caformer_s18"),
    *("focalnet_tiny_srf", "mixer_s32_224", "gmixer_12_224", "gmlp_ti16_224", "resmlp_12_224"),
    *("sequencer2d_s", "efficientvim_m1"),
)
ATTENTION = (
    *("test_vit", "deit_tiny_distilled_patch16_224", "beit_base_patch16_224", "cait_xxs24_224"),
    *("convit_tiny", "eva02_tiny_patch14_224", "vit_pe_core_tiny_patch16_384"),
    *("vit_small_patch16_rope_mixed_224", "vit_relpos_small_patch16_224", "vit_tiny_r_s16_p8_224"),
    *("samvit_base_patch16", "naflexvit_base_patch16_gap", "pit_ti_224", "tnt_s_patch16_224"),
    *("crossvit_9_240", "coat_tiny", "coat_lite_tiny", "xcit_nano_12_p16_224", "volo_d1_224"),
    *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_ns_224"),
    *("twins_pcpvt_small", "twins_svt_small", "pvt_v2_b0", "pvt_v2_b2_li", "mvitv2_tiny", "hiera_tiny_224"),
    *("davit_tiny", "gcvit_xxtiny", "nest_tiny", "tiny_vit_5m_224", "vitamin_small_224"),
    *("hieradet_small", "qwen3_vit_88m", "gemma4_vit_167m", "mobilenetv5_300m", "deepseek_vit_412m"),
)
HYBRIDS = (
    *("test_coatnet", "coatnet_nano_rw_224", "test_maxvit", "maxvit_rmlp_pico_rw_256", "botnet26t_256"),
    *("eca_botnext26ts_256", "halonet26t", "eca_halonext26ts", "lambda_resnet26t", "lambda_resnet26rpt_256"),
    *("bat_resnext26ts", "edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050", "efficientformer_l1"),
    *("efficientformerv2_s0", "efficientvit_b0", "efficientvit_m0", "levit_128s", "levit_conv_128s"),
    *("nextvit_small", "swiftformer_xs", "visformer_tiny"),
)
TIMM = (*CONVOLUTIONS, *MOBILE, *METAFORMERS, *ATTENTION, *HYBRIDS)
# each for another thing: grouped kernels, weight standardisation, packed heads, gates, ghosts, relative positions
QUICK = (
    *("test_byobnet", "test_nfnet", "test_efficientnet_evos", "mobilenetv3_small_050", "ghostnet_050"),
    *("test_vit", "deit_tiny_distilled_patch16_224", "test_mambaout", "test_coatnet"),
)
SIDES = MappingProxyType(
    {
        **dict.fromkeys(("inception_v4", "inception_resnet_v2", "nasnetalarge", "pnasnet5large"), 96),
        "inception_v3": 128,
        "deepseek_vit_412m": 70,  # patches of 14
        "efficientformer_l1": 224,  # its last stage has a table of positions
        "crossvit_9_240": 240,
        **dict.fromkeys(("halonet26t", "eca_halonext26ts", "bat_resnext26ts"), 256),  # blocks of a written size
    }
)


def smallest_side(name: str) -> int:
    """A small image that the network accepts."""
    return SIDES.get(name, 64)


def build(name: str) -> nn.Module:
    """Random weights and ten classes; nothing is downloaded."""
    torch.manual_seed(0)
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, num_classes=10, img_size=smallest_side(name))
    except TypeError:  # purely convolutional: any size
        model = timm.create_model(name, pretrained=False, num_classes=10)
    return model
