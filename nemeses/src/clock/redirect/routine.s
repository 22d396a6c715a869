# What a redirected process runs instead of the vDSO's clock functions (x86-64, System V calling convention).
#
# This text documents the bytes in routine.rs; a test assembles it and compares (`as`, `objcopy`). It lies one page above
# the parameters (../page.rs), so `page` is a fixed distance away and nothing needs relocation.
#
# Parameters: u32 `index` at page+8 says which of two slots is in force (its lowest bit); slot 0 at page+64, slot 1 at
# page+128. A slot: +0 base, +8 offset, +16 offset of the odd strobe phases, +24 drift (signed, 32 bits after the point),
# +32 strobe phases per nanosecond (64 bits after the point; 0: no strobe). All times in nanoseconds.
.intel_syntax noprefix
.text
.set page, start - 4096
start:

# int clock_gettime(edi = clock, rsi = struct timespec *)
clock_gettime:
    endbr64                             # the vDSO's own entries have one, for indirect calls under CET
    push rbx
    push rbp
    push r12                            # three pushes: the stack is aligned to 16 for the call
    mov ebx, edi
    mov rbp, rsi
    call [rip + original]               # the true time, by the vDSO's own code
    test eax, eax
    jnz 3f                              # an error is handed on

# Only clocks that show the time of day: REALTIME (0), REALTIME_COARSE (5), TAI (11). All others stay true.
    cmp ebx, 11
    ja 3f
    mov ecx, 0x821
    bt ecx, ebx
    jnc 3f

    imul rdi, [rbp], 1000000000         # rdi: the true time in ns
    add rdi, [rbp + 8]
    lea r12, [rip + page]

# Take the slot in force, and begin again if another came into force meanwhile. A reader never waits for the writer.
1:  mov r10d, [r12 + 8]
    mov r8d, r10d
    and r8d, 1
    shl r8d, 6
    lea r8, [r12 + r8 + 64]             # the slot
    mov rcx, rdi
    sub rcx, [r8]                       # rcx: time since its base
    mov rax, rcx
    mul qword ptr [r8 + 32]             # rdx: strobe phases since then
    mov r9, [r8 + 8]
    test dl, 1
    cmovnz r9, [r8 + 16]                # r9: the offset
    mov rax, rcx
    imul qword ptr [r8 + 24]
    shrd rax, rdx, 32                   # rax: the drift until now
    cmp r10d, [r12 + 8]
    jne 1b
    add rax, r9
    xor edx, edx
    add rax, rdi                        # rax: the time to show
    cmovs rax, rdx                      # a clock set to before 1970 shows 1970

# Seconds and nanoseconds: divide by 10^9 by multiplying, as compilers do (Granlund and Montgomery 1994).
    mov rcx, rax
    shr rax, 9
    mov rdx, 0x44B82FA09B5A53
    mul rdx
    shr rdx, 11
    mov [rbp], rdx
    imul rdx, rdx, 1000000000
    sub rcx, rdx
    mov [rbp + 8], rcx
    xor eax, eax
3:  pop r12
    pop rbp
    pop rbx
    ret

# int gettimeofday(rdi = struct timeval *, rsi = struct timezone *): the time zone is 0, as Linux sets it at boot.
gettimeofday:
    endbr64
    push rbx
    sub rsp, 16
    mov rbx, rdi
    test rsi, rsi
    jz 1f
    mov qword ptr [rsi], 0
1:  test rbx, rbx
    jz 2f
    xor edi, edi                        # CLOCK_REALTIME
    mov rsi, rsp
    call clock_gettime
    mov rax, [rsp]
    mov [rbx], rax
    imul rax, [rsp + 8], 0x10624DD3     # ns / 1000, exact below 2^32
    shr rax, 38
    mov [rbx + 8], rax
2:  xor eax, eax
    add rsp, 16
    pop rbx
    ret

# time_t time(rdi = time_t *)
time:
    endbr64
    push rbx
    sub rsp, 16
    mov rbx, rdi
    mov edi, 5                          # CLOCK_REALTIME_COARSE, as the vDSO's own
    mov rsi, rsp
    call clock_gettime
    mov rax, [rsp]
    test rbx, rbx
    jz 1f
    mov [rbx], rax
1:  add rsp, 16
    pop rbx
    ret

.balign 8
original:
    .quad 0                             # where this process's vDSO has its clock_gettime; the installer writes it
