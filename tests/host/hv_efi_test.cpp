// SPDX-License-Identifier: Apache-2.0
// link: hvcore
/// What dom0 learns of UEFI and asks of its services, over a firmware that is a map of variables and a clock.
#include <map>
#include <string>

#include "abi/xen/platform.hpp"
#include "hypervisor/arch/x86/firmware.hpp"
#include "tests/host/hv_calls.hpp"

namespace {

using namespace hvtest;
using parse::EfiService;

constexpr uint64_t failed = uint64_t{1} << 63;
constexpr uint64_t invalid_parameter = failed | 2, too_small = failed | 5, not_found = failed | 14;

struct Variable {
    uint32_t attributes;
    std::string data;
};
std::map<std::u16string, Variable> variables;
xen::XenpfEfiTime clock_time;
bool alarm_on, alarm_kept;
unsigned calls;
bool lies;  ///< says that it wrote more than there was room for

template <class T>
T& at(uint64_t address) {
    return *reinterpret_cast<T*>(address);
}

uint64_t give(const std::string& what, uint64_t& size, uint64_t to) {
    const uint64_t room = size;
    size = lies ? what.size() + (1 << 20) : what.size();
    if (what.size() > room) return too_small;
    std::memcpy(reinterpret_cast<void*>(to), what.data(), what.size());
    return 0;
}

uint64_t next_name(uint64_t size, uint64_t name) {
    const std::u16string before(&at<char16_t>(name));
    auto next = before.empty() ? variables.begin() : variables.upper_bound(before);
    if (next == variables.end()) return not_found;
    return give(std::string(reinterpret_cast<const char*>(next->first.c_str()), 2 * next->first.size() + 2), at<uint64_t>(size),
                name);
}

uint64_t firmware(EfiService s, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e) {
    ++calls;
    const auto name = [&] { return std::u16string(&at<char16_t>(a)); };
    switch (s) {
        case EfiService::get_time:
            at<xen::XenpfEfiTime>(a) = clock_time;
            at<uint32_t>(b) = 1;
            at<uint32_t>(b + 4) = 50;
            at<uint8_t>(b + 8) = 1;
            return 0;
        case EfiService::set_time:
            if (at<xen::XenpfEfiTime>(a).month > 12) return invalid_parameter;
            clock_time = at<xen::XenpfEfiTime>(a);
            return 0;
        case EfiService::get_wakeup_time:
            at<uint8_t>(a) = alarm_on;
            at<uint8_t>(b) = 1;
            at<xen::XenpfEfiTime>(c) = clock_time;
            return 0;
        case EfiService::set_wakeup_time:
            alarm_on = a != 0;
            alarm_kept = b == 0;
            return 0;
        case EfiService::get_next_high_monotonic_count: at<uint32_t>(a) = 77; return 0;
        case EfiService::get_variable: {
            const auto found = variables.find(name());
            if (found == variables.end()) return not_found;
            at<uint32_t>(c) = found->second.attributes;
            return give(found->second.data, at<uint64_t>(d), e);
        }
        case EfiService::set_variable: variables[name()] = {static_cast<uint32_t>(c), std::string(&at<char>(e), d)}; return 0;
        case EfiService::get_next_variable_name: return next_name(a, b);
        case EfiService::query_variable_info:
            at<uint64_t>(b) = 1000 + a;
            at<uint64_t>(c) = 500;
            at<uint64_t>(d) = 100;
            return 0;
        default: ADD_FAILURE() << "nobody asks for that"; return invalid_parameter;
    }
}

Errc error_of(auto&& r) { return r ? Errc{} : r.error(); }

class Efi : public ::testing::Test {
protected:
    Guest& dom0 = control_domain();
    Resources before;

    Efi() {
        host::efi_service = firmware;
        efi_firmware = {};
        efi_firmware.revision = 2u << 16 | 70;
        efi_firmware.firmware_revision = 9;
        efi_firmware.tables = 0x1234'5000;
        efi_firmware.table_count = 11;
        for (const char16_t c : std::u16string(u"EDK II")) (void)efi_firmware.vendor.push(c);
        (void)efi_firmware.regions.push({0x10'0000, 0x4000, 0xf, 7});
        efi_firmware.services_revision = 2u << 16 | 70;
        for (uint64_t& s : efi_firmware.services) s = 1;
        variables.clear();
        calls = 0;
        lies = false;
    }
    ~Efi() override {
        efi_firmware = {};
        host::efi_service = nullptr;
        EXPECT_EQ(Resources{}, before) << "memory is lost";
    }
    xen::PlatformOp op(uint32_t cmd) {
        auto o = xen::zeroed<xen::PlatformOp>();
        o.cmd = cmd;
        o.interface_version = xen::XENPF_INTERFACE_VERSION;
        return o;
    }
    Errc make(xen::PlatformOp& o) {
        return error_of(hypercall(hypercall_handler(xen::HYPERVISOR_platform_op), dom0.vcpu(), address(&o)));
    }
    xen::PlatformOp runtime(uint32_t function, uint32_t misc = 0) {
        auto o = op(xen::XENPF_efi_runtime_call);
        o.u.efi_runtime_call.function = function;
        o.u.efi_runtime_call.misc = misc;
        return o;
    }
    xen::PlatformOp info(uint32_t index) {
        auto o = op(xen::XENPF_firmware_info);
        o.u.firmware_info.type = xen::XEN_FW_EFI_INFO;
        o.u.firmware_info.index = index;
        return o;
    }
    Errc set(const std::u16string& name, std::string data, uint32_t attributes = 7, uint64_t* status = nullptr) {
        auto o = runtime(xen::XEN_EFI_set_variable, attributes);
        auto& v = o.u.efi_runtime_call.u.set_variable;
        v.name = {address(name.c_str())};
        v.size = data.size();
        v.data = {address(data.data())};
        const Errc e = make(o);
        if (status) *status = o.u.efi_runtime_call.status;
        return e;
    }
};

TEST_F(Efi, TheTablesAreTold) {
    auto o = info(xen::XEN_FW_EFI_CONFIG_TABLE);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.firmware_info.u.efi_info.cfg.addr, 0x1234'5000u);
    EXPECT_EQ(o.u.firmware_info.u.efi_info.cfg.nent, 11u);
    o = info(xen::XEN_FW_EFI_VERSION);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.firmware_info.u.efi_info.version, 2u << 16 | 70);
    o = info(xen::XEN_FW_EFI_RT_VERSION);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.firmware_info.u.efi_info.version, 2u << 16 | 70);
    o = info(xen::XEN_FW_EFI_PCI_ROM);
    EXPECT_EQ(make(o), Errc::srch);
    o = info(xen::XEN_FW_EFI_APPLE_PROPERTIES);
    EXPECT_EQ(make(o), Errc::nodata);
    o = info(99);
    EXPECT_EQ(make(o), Errc::inval);
}

TEST_F(Efi, TheVendorHasAsMuchRoomAsTheCallerSays) {
    char16_t name[16];
    const auto vendor = [&](uint32_t bytes) {
        std::fill(std::begin(name), std::end(name), u'#');
        auto o = info(xen::XEN_FW_EFI_VENDOR);
        o.u.firmware_info.u.efi_info.vendor.bufsz = bytes;
        o.u.firmware_info.u.efi_info.vendor.name = {address(name)};
        const Errc e = make(o);
        if (e == Errc{}) { EXPECT_EQ(o.u.firmware_info.u.efi_info.vendor.revision, 9u); }
        return e;
    };
    ASSERT_EQ(vendor(sizeof name), Errc{});
    EXPECT_EQ(std::u16string(name), u"EDK II");
    EXPECT_EQ(name[7], u'#');
    ASSERT_EQ(vendor(8), Errc{});
    EXPECT_EQ(std::u16string(name), u"EDK");
    EXPECT_EQ(name[4], u'#');
    EXPECT_EQ(vendor(1), Errc::inval);
}

TEST_F(Efi, MemoryIsLookedUp) {
    const auto look = [&](uint64_t address, uint64_t size) {
        auto o = info(xen::XEN_FW_EFI_MEM_INFO);
        o.u.firmware_info.u.efi_info.mem = {address, size, 0, 0, 0};
        EXPECT_EQ(make(o), Errc{});
        EXPECT_EQ(o.u.firmware_info.u.efi_info.mem.type, 7u);
        return o.u.firmware_info.u.efi_info.mem.size;
    };
    EXPECT_EQ(look(0x10'1000, 0x1000), 0x1000u);
    EXPECT_EQ(look(0x10'1000, 0x10000), 0x3000u);
    EXPECT_EQ(look(0x10'1000, ~uint64_t{0}), 0x3000u) << "a size that wraps";
    auto o = info(xen::XEN_FW_EFI_MEM_INFO);
    o.u.firmware_info.u.efi_info.mem.addr = 0x10'4000;
    EXPECT_EQ(make(o), Errc::srch);
}

TEST_F(Efi, WithoutServicesOrWithoutUefiItIsSaid) {
    efi_firmware.services[0] = 0;
    auto o = runtime(xen::XEN_EFI_get_time);
    EXPECT_EQ(make(o), Errc::opnotsupp);
    o = info(xen::XEN_FW_EFI_RT_VERSION);
    EXPECT_EQ(make(o), Errc::opnotsupp);
    o = info(xen::XEN_FW_EFI_VERSION);
    EXPECT_EQ(make(o), Errc{});
    efi_firmware = {};
    o = info(xen::XEN_FW_EFI_VERSION);
    EXPECT_EQ(make(o), Errc::srch);
    EXPECT_EQ(calls, 0u);
}

TEST_F(Efi, ClockAndAlarm) {
    auto o = runtime(xen::XEN_EFI_set_time);
    o.u.efi_runtime_call.u.set_time = {2026, 5, 6, 7, 8, 9, 0, 10, 60, 1, 0};
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.status, 0u);
    o = runtime(xen::XEN_EFI_get_time);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.u.get_time.time.year, 2026);
    EXPECT_EQ(o.u.efi_runtime_call.u.get_time.time.tz, 60);
    EXPECT_EQ(o.u.efi_runtime_call.u.get_time.accuracy, 50u);
    EXPECT_EQ(o.u.efi_runtime_call.misc, xen::XEN_EFI_GET_TIME_SET_CLEARS_NS);
    o = runtime(xen::XEN_EFI_set_time);
    o.u.efi_runtime_call.u.set_time.month = 13;
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.status, invalid_parameter) << "the firmware's word comes through";
    o = runtime(xen::XEN_EFI_set_wakeup_time, xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE | xen::XEN_EFI_SET_WAKEUP_TIME_ENABLE_ONLY);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_TRUE(alarm_on && alarm_kept);
    o = runtime(xen::XEN_EFI_get_wakeup_time);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.misc, xen::XEN_EFI_GET_WAKEUP_TIME_ENABLED | xen::XEN_EFI_GET_WAKEUP_TIME_PENDING);
    o = runtime(xen::XEN_EFI_set_wakeup_time);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_FALSE(alarm_on || alarm_kept);
    o = runtime(xen::XEN_EFI_get_next_high_monotonic_count);
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.misc, 77u);
}

TEST_F(Efi, FlagsThatMeanNothingAreRefused) {
    for (const uint32_t f :
         {xen::XEN_EFI_get_time, xen::XEN_EFI_set_time, xen::XEN_EFI_get_wakeup_time, xen::XEN_EFI_get_variable,
          xen::XEN_EFI_get_next_high_monotonic_count, xen::XEN_EFI_get_next_variable_name}) {
        auto o = runtime(f, 8);
        EXPECT_EQ(make(o), Errc::inval) << f;
    }
    auto o = runtime(xen::XEN_EFI_set_wakeup_time, 4);
    EXPECT_EQ(make(o), Errc::inval);
    o = runtime(xen::XEN_EFI_query_variable_info, 2);
    EXPECT_EQ(make(o), Errc::inval);
    for (const uint32_t f : {xen::XEN_EFI_query_capsule_capabilities, xen::XEN_EFI_update_capsule, 0u, 99u}) {
        o = runtime(f);
        EXPECT_EQ(make(o), Errc::nosys) << f;
    }
    EXPECT_EQ(calls, 0u);
}

TEST_F(Efi, VariablesComeAndGo) {
    ASSERT_EQ(set(u"Boot0001", "disk"), Errc{});
    ASSERT_EQ(set(u"Boot0002", ""), Errc{});
    EXPECT_EQ(variables[u"Boot0001"].data, "disk");
    char data[8];
    const auto get = [&](const std::u16string& name, uint64_t size, uint64_t& status) {
        std::memset(data, '#', sizeof data);
        auto o = runtime(xen::XEN_EFI_get_variable);
        auto& v = o.u.efi_runtime_call.u.get_variable;
        v.name = {address(name.c_str())};
        v.size = size;
        v.data = {address(data)};
        EXPECT_EQ(make(o), Errc{});
        status = o.u.efi_runtime_call.status;
        if (status == 0) { EXPECT_EQ(o.u.efi_runtime_call.misc, 7u); }
        return v.size;
    };
    uint64_t status = 1;
    EXPECT_EQ(get(u"Boot0001", sizeof data, status), 4u);
    EXPECT_EQ(status, 0u);
    EXPECT_EQ(std::string(data, 5), "disk#");
    EXPECT_EQ(get(u"Boot0001", 2, status), 4u) << "what it would take";
    EXPECT_EQ(status, too_small);
    EXPECT_EQ(get(u"Boot0001", 0, status), 4u);
    EXPECT_EQ(data[0], '#');
    get(u"Boot0003", sizeof data, status);
    EXPECT_EQ(status, not_found);
    lies = true;
    get(u"Boot0001", sizeof data, status);
    EXPECT_EQ(std::string(data + 4, 4), std::string(4, '\0')) << "never more than there was room for, and only zeroes";
}

TEST_F(Efi, NamesAreListed) {
    ASSERT_EQ(set(u"a", "1"), Errc{});
    ASSERT_EQ(set(u"second", "2"), Errc{});
    char16_t name[16] = u"";
    const auto next = [&](uint64_t size, uint64_t& status) {
        auto o = runtime(xen::XEN_EFI_get_next_variable_name);
        auto& n = o.u.efi_runtime_call.u.get_next_variable_name;
        n.size = size;
        n.name = {address(name)};
        EXPECT_EQ(make(o), Errc{});
        status = o.u.efi_runtime_call.status;
        return n.size;
    };
    uint64_t status = 1;
    EXPECT_EQ(next(sizeof name, status), 4u);
    EXPECT_EQ(std::u16string(name), u"a");
    EXPECT_EQ(next(4, status), 14u);
    EXPECT_EQ(status, too_small);
    EXPECT_EQ(std::u16string(name), u"a");
    next(sizeof name, status);
    EXPECT_EQ(std::u16string(name), u"second");
    next(sizeof name, status);
    EXPECT_EQ(status, not_found);
}

TEST_F(Efi, RoomForVariables) {
    auto o = runtime(xen::XEN_EFI_query_variable_info);
    o.u.efi_runtime_call.u.query_variable_info.attr = 7;
    ASSERT_EQ(make(o), Errc{});
    EXPECT_EQ(o.u.efi_runtime_call.u.query_variable_info.max_store_size, 1007u);
    EXPECT_EQ(o.u.efi_runtime_call.u.query_variable_info.max_size, 100u);
    o = runtime(xen::XEN_EFI_query_variable_info, xen::XEN_EFI_VARINFO_BOOT_SNAPSHOT);
    EXPECT_EQ(make(o), Errc::opnotsupp);
    efi_firmware.services_revision = 1u << 16;
    o = runtime(xen::XEN_EFI_query_variable_info);
    EXPECT_EQ(make(o), Errc::opnotsupp);
}

TEST_F(Efi, HostileArguments) {
    EXPECT_EQ(set(std::u16string(5000, u'x'), "1"), Errc::toobig);
    EXPECT_EQ(set(std::u16string(2047, u'x'), "1"), Errc{});
    auto o = runtime(xen::XEN_EFI_set_variable);
    auto& v = o.u.efi_runtime_call.u.set_variable;
    const std::u16string name = u"x";
    v.name = {address(name.c_str())};
    v.size = (1 << 20) + 1;
    EXPECT_EQ(make(o), Errc::toobig);
    v.size = 8;
    v.data = {};
    EXPECT_EQ(make(o), Errc::fault);
    v.name = {};
    EXPECT_EQ(make(o), Errc::fault);
    o = runtime(xen::XEN_EFI_get_variable);
    o.u.efi_runtime_call.u.get_variable.name = {};
    EXPECT_EQ(make(o), Errc::fault);
    o.u.efi_runtime_call.u.get_variable.name = {address(name.c_str())};
    o.u.efi_runtime_call.u.get_variable.size = ~uint64_t{0};
    EXPECT_EQ(make(o), Errc{}) << "who says more gets what there is";
    EXPECT_EQ(o.u.efi_runtime_call.status, not_found);
    o = runtime(xen::XEN_EFI_get_next_variable_name);
    o.u.efi_runtime_call.u.get_next_variable_name.size = 1;
    EXPECT_EQ(make(o), Errc::inval);
}

}  // namespace
