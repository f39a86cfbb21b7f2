// Made by make_wireguard_vector.py; do not edit.
#pragma once

namespace icon::tunnel::wg::vector {

inline constexpr char kInitiatorStatic[] =
    "e863a4509af80344c631bd2edd190229836465cd7006a129a8d3df1839816ffd";
inline constexpr char kResponderStatic[] =
    "6f99535eff2403f7943b21191e4710957890cd3fe67fcbe087aacdab564ee175";
inline constexpr char kInitiatorEphemeral[] =
    "f1f5380b992041cf64fa9313b533ef3673b10559a53a502de52f0142aa1c6f79";
inline constexpr char kResponderEphemeral[] =
    "dc949dec7cc0f68c9f23b0f97ca8ba91dc2b46e264095c7e3355cd19d2c41769";
inline constexpr char kPsk[] = "5abc2227fa0269cb6bc9c38c0b32792b6fc23fa444e916d9b675a9560a7587eb";
inline constexpr char kTimestamp[] = "400000006553f10a2a000000";
inline constexpr char kPacket[] =
    "450000250001000040110000c0a80001c0a8000204d2162e00110000776972656775617264";
inline constexpr char kCookie[] = "bfe83dcda720848cbb963118d3df904b";
inline constexpr char kInitiation[] =
    "0100000044332211ac314c9d409d05e892ed42eb737a39d62a36e0af4b4ef6a2ba05210ad066b3762771af15"
    "3177692c3ef47554fb9ac20f21a5e4cd4dc42e149c1c728ba928a4a668274df4d364210cbd88f9e540e4cf08"
    "53fb8c82634617058975eef9bc05006566525ff744846b9cef553906f00f40ea9530659932b85b01718e17c0"
    "00000000000000000000000000000000";
inline constexpr char kInitiationWithCookie[] =
    "0100000044332211ac314c9d409d05e892ed42eb737a39d62a36e0af4b4ef6a2ba05210ad066b3762771af15"
    "3177692c3ef47554fb9ac20f21a5e4cd4dc42e149c1c728ba928a4a668274df4d364210cbd88f9e540e4cf08"
    "53fb8c82634617058975eef9bc05006566525ff744846b9cef553906f00f40ea9530659932b85b01718e17c0"
    "23719b93a00713ee461a83ce829bc93c";
inline constexpr char kResponse[] =
    "02000000d4c3b2a1443322117e29be15526bcc7ef6d422fb5870ae795e4772fce2754adc38a99b6ba852c420"
    "f01037c9adb65a7b7127155c169c08a29170a1fe5fa84b91fb022a1f5c8af46f000000000000000000000000"
    "00000000";
inline constexpr char kInitiatorKey[] =
    "7b37dde5deec14b4a1cbaaac95bef4fed3d9a8ec2dde0d1259ab1e2d99880fe7";
inline constexpr char kResponderKey[] =
    "dce765be0f4f825c2b94754a2c430afd192d5a7f824f5eab9ccad8f347b2c8d8";
inline constexpr char kTransport[] =
    "04000000d4c3b2a10000000000000000386ee6f1414ae45741b6078357a1db28c28a8499293bfbb558384ed0"
    "bda73d773832c43570dafb0d085c87773e6f325ee5d126746ce1ea81a2b45142fcb7db89";
inline constexpr char kKeepalive[] =
    "040000004433221107000000000000009b812ab00547d7e5b29bf7f5c5826b58";
inline constexpr char kCookieReply[] =
    "0300000044332211fd41f99aaf1b80c3c64920d15c0a14f04fd6c42ba3f44ee3d0a97fdb9f35df3306daafd5"
    "ffeb8a07ea43d897b955aeb90f75ba3137492b5c";

}  // namespace icon::tunnel::wg::vector
